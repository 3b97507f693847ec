// What is left of ProjectionGradient where the recurrence has projected its input itself.
#pragma once

#include "kernels/contract/projection.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

/// d_embedding, of the gradient d_rows [T, B, E] of the embedding's row at each step, after its dropout. Takes
/// row_gradient_scratch() from what the operation has reserved.
void row_gradient(CudaContext& context, const ProjectionGradient<float>& op, const float* d_rows);
std::size_t row_gradient_scratch(const ProjectionGradient<float>& op);

}  // namespace reel::cuda
