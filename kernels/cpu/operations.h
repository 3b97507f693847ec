// The operations of the CPU backend, one file each; contracts are in kernels/contract/.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/context.h"

namespace reel::cpu {

void execute(CpuContext& context, const BeginStep& op);
void execute(CpuContext& context, const SelectRows& op);
void execute(CpuContext& context, const IndexTokens& op);

// Each of the following exists for float and double.
void execute(CpuContext& context, const ProjectTokens<float>& op);
void execute(CpuContext& context, const ProjectTokens<double>& op);
void execute(CpuContext& context, const IndexSteps& op);
void execute(CpuContext& context, const ReverseIndex& op);
void execute(CpuContext& context, const StackStates<float>& op);
void execute(CpuContext& context, const StackStates<double>& op);
void execute(CpuContext& context, const StackGradient<float>& op);
void execute(CpuContext& context, const StackGradient<double>& op);
void execute(CpuContext& context, const RecurrenceForward<float>& op);
void execute(CpuContext& context, const RecurrenceForward<double>& op);
void execute(CpuContext& context, const RecurrenceBackward<float>& op);
void execute(CpuContext& context, const RecurrenceBackward<double>& op);
void execute(CpuContext& context, const ProjectionGradient<float>& op);
void execute(CpuContext& context, const ProjectionGradient<double>& op);
void execute(CpuContext& context, const OptimizerStep<float>& op);
void execute(CpuContext& context, const OptimizerStep<double>& op);
void execute(CpuContext& context, const CatchUp<float>& op);
void execute(CpuContext& context, const CatchUp<double>& op);

template <class Real>
void execute(CpuContext& context, const HeadForward<Real>& op);
template <class Real>
void execute(CpuContext& context, const HeadBackward<Real>& op);
template <class Real>
void execute(CpuContext& context, const ClipGradient<Real>& op);

/// The instruction set that run-time dispatch chose, as Highway names it.
const char* instruction_set();
/// Whether it multiplies bfloat16 (AVX512-BF16).
bool has_bf16();

}  // namespace reel::cpu
