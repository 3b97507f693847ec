// Gradient clipping by value and by global norm. Squares are summed in double, by fixed chunks, chunks in order.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/operations.h"

namespace reel::cpu {
namespace {

constexpr std::size_t kChunk = 8192;

template <class Real>
double clip_and_sum_squares(std::span<Real> gradient, double clip_value) {
  constexpr std::size_t kSums = 8;  // independent sums, so that the additions overlap
  double sums[kSums] = {};
  if (clip_value > 0) {
    const auto limit = static_cast<Real>(clip_value);
    for (Real& g : gradient) g = g < -limit ? -limit : g > limit ? limit : g;  // keeps NaN
  }
  std::size_t i = 0;
  for (; i + kSums <= gradient.size(); i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) {
      const auto g = static_cast<double>(gradient[i + k]);
      sums[k] += g * g;
    }
  }
  for (; i < gradient.size(); ++i) sums[0] += static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

template <class Real>
void execute(CpuContext& context, const ClipGradient<Real>& op) {
  const auto touched = static_cast<std::size_t>(op.gradient.index.count[0] * op.gradient.embedding);
  const std::span<Real> parts[2] = {op.gradient.rows.first(touched), op.gradient.dense};
  const std::size_t chunks[2] = {(parts[0].size() + kChunk - 1) / kChunk, (parts[1].size() + kChunk - 1) / kChunk};
  const std::span<double> sums = context.arena.take<double>(chunks[0] + chunks[1]);
  context.pool.run(sums.size(), [&](std::size_t task) {
    const bool dense = task >= chunks[0];
    const std::span<Real> part = parts[dense ? 1 : 0];
    const std::size_t first = (dense ? task - chunks[0] : task) * kChunk;
    sums[task] = clip_and_sum_squares(part.subspan(first, std::min(kChunk, part.size() - first)), op.clip_value);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  const double norm = std::sqrt(total);
  op.stats[static_cast<std::size_t>(slot_at(op.clock))].grad_norm = norm;
  if (op.scale.empty()) return;
  op.scale[0] = op.clip_norm > 0 ? static_cast<Real>(std::min(1.0, op.clip_norm / (norm + 1e-6))) : Real{1};
}

template void execute(CpuContext&, const ClipGradient<float>&);
template void execute(CpuContext&, const ClipGradient<double>&);

}  // namespace reel::cpu
