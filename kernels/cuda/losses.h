// The loss of rows of several logits; that of one logit is in head.cu.
#pragma once

#include "kernels/contract/head.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

/// Writes op.stats and d_logits [B, C]. Takes losses_scratch() from what the operation has reserved.
void measure_losses(CudaContext& context, const HeadBackward<float>& op, float* d_logits);
std::size_t losses_scratch(const HeadBackward<float>& op);

}  // namespace reel::cuda
