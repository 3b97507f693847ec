// The operations of the CPU backend, one file each; contracts are in kernels/operations.h.
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/context.h"

namespace reel::cpu {

void select_rows(CpuContext& context, const SelectRows& args);
void clear_index(const TokenIndex& index);
void index_tokens(CpuContext& context, const IndexTokens& args);

// Each of the following exists for float and double.
void project_tokens(CpuContext& context, const ProjectTokens<float>& args);
void project_tokens(CpuContext& context, const ProjectTokens<double>& args);
void rnn_forward(CpuContext& context, const RnnForward<float>& args);
void rnn_forward(CpuContext& context, const RnnForward<double>& args);
void rnn_backward(CpuContext& context, const RnnBackward<float>& args);
void rnn_backward(CpuContext& context, const RnnBackward<double>& args);
void embedding_gradient(CpuContext& context, const EmbeddingGradient<float>& args);
void embedding_gradient(CpuContext& context, const EmbeddingGradient<double>& args);
void optimizer_step(CpuContext& context, const OptimizerStep<float>& args);
void optimizer_step(CpuContext& context, const OptimizerStep<double>& args);

template <class Real>
void head_forward(CpuContext& context, const HeadForward<Real>& args);
template <class Real>
void head_backward(CpuContext& context, const HeadBackward<Real>& args);
template <class Real>
void clip_gradient(CpuContext& context, const ClipGradient<Real>& args);

/// The instruction set that run-time dispatch chose, as Highway names it.
const char* instruction_set();
/// Whether it multiplies bfloat16 (AVX512-BF16), which mixed precision needs.
bool has_bf16();

}  // namespace reel::cpu
