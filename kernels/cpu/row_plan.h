// How the rows of a batch are shared out to threads that each take their rows through all time steps, and those steps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "kernels/cpu/context.h"

namespace reel::cpu {

/// At most so many rows go through the time steps together: their state and one panel of weights stay in the L1 cache.
constexpr std::size_t kBlockRows = 48;

/// Rows in tasks of similar work. Within a task rows are ordered by length, longest first, so that the rows still
/// running at any step are a prefix. The split affects speed alone: no result depends on it.
struct RowPlan {
  std::span<std::size_t> rows;   // [B] batch rows, task after task
  std::span<std::size_t> begin;  // [tasks + 1] task i takes rows[begin[i] .. begin[i+1])

  std::size_t tasks() const { return begin.size() - 1; }
  std::span<const std::size_t> task(std::size_t i) const { return rows.subspan(begin[i], begin[i + 1] - begin[i]); }
};

/// Sorts the rows by length, cuts them into rounds of similar lengths and deals each round out to the threads.
inline RowPlan plan_rows(std::span<const std::int32_t> lengths, CpuContext& context) {
  const std::size_t batch = lengths.size();
  const auto threads = static_cast<std::size_t>(context.pool.size());
  const std::size_t rounds = std::max<std::size_t>(1, (batch + threads * kBlockRows - 1) / (threads * kBlockRows));
  const std::span<std::size_t> sorted = context.arena.take<std::size_t>(batch);
  for (std::size_t b = 0; b < batch; ++b) sorted[b] = b;
  std::ranges::sort(sorted, {}, [&](std::size_t b) { return std::pair(-lengths[b], b); });

  RowPlan plan{context.arena.take<std::size_t>(batch), context.arena.take<std::size_t>(rounds * threads + 1)};
  std::size_t filled = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::size_t first = batch * round / rounds;
    const std::size_t last = batch * (round + 1) / rounds;
    for (std::size_t thread = 0; thread < threads; ++thread) {
      plan.begin[round * threads + thread] = filled;
      for (std::size_t i = first + thread; i < last; i += threads) plan.rows[filled++] = sorted[i];
    }
  }
  plan.begin[rounds * threads] = filled;
  return plan;
}

/// Calls step(t, active) for the steps of one task, in either direction; rows[0 .. active) are those with length > t.
template <class F>
void for_each_step(const CpuContext& context, std::span<const std::size_t> rows, std::span<const std::int32_t> lengths,
                   bool forward, const F& step) {
  if (rows.empty()) return;
  const auto longest = static_cast<std::size_t>(lengths[rows[0]]);
  const auto length = [&](std::size_t i) { return static_cast<std::size_t>(lengths[rows[i]]); };
  std::size_t active = forward ? rows.size() : 0;
  for (std::size_t s = 0; s < longest; ++s) {
    const std::size_t t = forward ? s : longest - 1 - s;
    while (active > 0 && length(active - 1) <= t) --active;
    while (active < rows.size() && length(active) > t) ++active;
    context.check_interrupted();
    step(t, active);
  }
}

}  // namespace reel::cpu
