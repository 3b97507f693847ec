// The operations of the CUDA backend; contracts are in kernels/contract/, whose checks have been made.
#pragma once

#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

void execute(CudaContext& context, const ClearIndex& op);
void execute(CudaContext& context, const SelectRows& op);
void execute(CudaContext& context, const IndexTokens& op);
void execute(CudaContext& context, const ProjectTokens<float>& op);
void execute(CudaContext& context, const RecurrenceForward<float>& op);
void execute(CudaContext& context, const HeadForward<float>& op);
void execute(CudaContext& context, const HeadBackward<float>& op);
void execute(CudaContext& context, const RecurrenceBackward<float>& op);
void execute(CudaContext& context, const ProjectionGradient<float>& op);
void execute(CudaContext& context, const ClipGradient<float>& op);
void execute(CudaContext& context, const OptimizerStep<float>& op);

/// Of Backend, here of the CUDA device.
std::string describe_recurrence(const CudaContext& context, Cell cell, const SequenceShape& shape, std::int64_t rows);

/// A batch of at least as many positions as the vocabulary has words lists all of them in order (slot = token), so that
/// the embedding table itself stands in for the gathered rows; a smaller one lists the distinct tokens that it has.
inline bool lists_vocabulary(const TokenIndex& index) { return index.capacity() == index.vocabulary(); }
inline bool lists_vocabulary(const ProjectTokens<float>& op) { return op.rows() == op.vocabulary; }

}  // namespace reel::cuda
