// The products of an output layer of several outputs; one output is a few lines of head.cpp.
#pragma once

#include <span>

#include "kernels/contract/head.h"
#include "kernels/cpu/context.h"

namespace reel::cpu {

/// op.logits of op.pooled.
void output_logits(CpuContext& context, const HeadForward<float>& op);
void output_logits(CpuContext& context, const HeadForward<double>& op);

/// d_pooled [B, P] and op.d_fc_weight, of d_logits [B, C].
void output_gradient(CpuContext& context, const HeadBackward<float>& op, std::span<const float> d_logits,
                     std::span<float> d_pooled);
void output_gradient(CpuContext& context, const HeadBackward<double>& op, std::span<const double> d_logits,
                     std::span<double> d_pooled);

}  // namespace reel::cpu
