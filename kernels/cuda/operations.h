// The operations of the CUDA backend; contracts are in kernels/contract/, whose checks have been made.
#pragma once

#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

void execute(CudaContext& context, const BeginStep& op);
void execute(CudaContext& context, const SelectRows& op);
void execute(CudaContext& context, const IndexTokens& op);
void execute(CudaContext& context, const ProjectTokens<float>& op);
void execute(CudaContext& context, const IndexSteps& op);
void execute(CudaContext& context, const ReverseIndex& op);
void execute(CudaContext& context, const StackStates<float>& op);
void execute(CudaContext& context, const StackGradient<float>& op);
void execute(CudaContext& context, const RecurrenceForward<float>& op);
void execute(CudaContext& context, const HeadForward<float>& op);
void execute(CudaContext& context, const HeadBackward<float>& op);
void execute(CudaContext& context, const RecurrenceBackward<float>& op);
void execute(CudaContext& context, const ProjectionGradient<float>& op);
void execute(CudaContext& context, const LayerForward<float>& op);
void execute(CudaContext& context, const LayerBackward<float>& op);
void execute(CudaContext& context, const ClipGradient<float>& op);
void execute(CudaContext& context, const OptimizerStep<float>& op);
void execute(CudaContext& context, const CatchUp<float>& op);

/// Of Backend, here of the CUDA device.
bool projects_input(const CudaContext& context, Cell cell);
bool packs_sequences(const CudaContext& context, Cell cell, const SequenceShape& shape, std::int64_t rows,
                     bool has_steps);
std::string describe_recurrence(const CudaContext& context, Cell cell, const SequenceShape& shape, std::int64_t rows,
                                bool has_steps);

/// An index with room for `rows` rows of a vocabulary: one of at least as many positions as there are words lists all
/// of them in order (slot = token), so that the embedding table itself stands in for the gathered rows; a smaller one
/// lists the distinct tokens that it has.
constexpr bool lists_vocabulary(std::int64_t rows, std::int64_t vocabulary) { return rows == vocabulary; }

}  // namespace reel::cuda
