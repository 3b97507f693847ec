// Which kernels run the recurrence: the one place where that is chosen.
#include <algorithm>
#include <optional>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/recurrence/estimate.h"
#include "kernels/cuda/recurrence/strategies.h"

namespace reel::cuda {
namespace {

struct Strategy {
  const char* description;
  void (*forward)(CudaContext& context, const RecurrenceForward<float>& op);
  void (*backward)(CudaContext& context, const RecurrenceBackward<float>& op);
  bool adds_to_steps;            // whether `backward` takes all of OutputGradient
  const char* family = nullptr;  // rnn_forward_(family)kernel is the one launch for all steps, if there is one
};

constexpr Strategy kResident{"float32, one launch for all steps, W_hh resident", rnn_forward_resident,
                             rnn_backward_resident, true, ""};
constexpr Strategy kTensorCores{"tensor cores, one launch for all steps, W_hh resident", rnn_forward_tensor_core,
                                rnn_backward_tensor_core, false, "tensor_core_"};
constexpr Strategy kTensorCoresGated{"tensor cores, one launch for all steps, W_hh resident by unit",
                                     rnn_forward_tensor_core_gated, rnn_backward_tensor_core_gated, true,
                                     "tensor_core_gated_"};
constexpr Strategy kCluster{"float32, one launch for all steps, W_hh resident in clusters of blocks",
                            rnn_forward_cluster, rnn_backward_cluster, false, "cluster_"};
constexpr Strategy kGated{"float32, one launch for all steps, W_hh resident by unit", rnn_forward_gated,
                          rnn_backward_gated, true, "gated_"};
constexpr Strategy kStepwise{"float32, a product and a pointwise kernel each step", rnn_forward_stepwise,
                             rnn_backward_stepwise, true};
constexpr Strategy kCudnn{"cuDNN", rnn_forward_cudnn, rnn_backward_cudnn, true};

bool resident_fits(const CudaContext& context, std::int64_t hidden) {
  return resident_shared_bytes(hidden) <= context.platform.limits().shared_per_block;
}

/// An estimate, nothing has been timed: a step of cluster.cu takes 1 us for every four batch rows of a cluster
/// (bench/results/cycles.json); stepwise it takes 5 us and the product, 0.01 us a row at H = 512. The cluster wins by
/// half with one tile, which is 256 rows in 16 clusters, and by a quarter with two.
bool cluster_pays(const CudaContext& context, const SequenceShape& s) {
  const int capacity = cluster_capacity(context, s.hidden);
  return capacity > 0 && cluster_tiles(capacity, s.batch) <= 2;
}

/// An estimate too: a step of gated.cu takes up to 1 us for the rows that a cluster takes at once (bench/cycles.py),
/// stepwise it takes 5 us and the product. Ragged rows, which cost the length of the longest of those here, are on the
/// safe side.
bool gated_pays(const CudaContext& context, const SequenceShape& s) {
  constexpr std::int64_t kMostTurns = 5;
  const int capacity = gated_capacity(context, s.hidden);
  return capacity > 0 && s.batch <= kMostTurns * capacity * gated_rows(s.hidden);
}

bool multiplies_16_bits(const CudaContext& context, Cell cell) {
  return context.precision == Precision::kMixed && traits(cell).bounded;
}

enum class Way { kForward, kBack };

/// How long the one launch for all steps of a way is expected to take; nothing where there is none, or the model does
/// not know it.
std::optional<double> estimate_of(const CudaContext& context, const Strategy& strategy, Cell cell,
                                  const SequenceShape& s, Way way, bool has_steps, bool packed) {
  if (strategy.family == nullptr) return std::nullopt;
  const bool clusters = &strategy == &kGated && s.hidden > kMaxGatedHiddenOfABlock;
  return estimated_microseconds(
      {.kernel = std::string(way == Way::kForward ? "rnn_forward_" : "rnn_backward_") + strategy.family + "kernel",
       .cell = cell,
       .shape = s,
       .has_steps = has_steps,
       .packed = packed,
       .parts = &strategy == &kCluster ? cluster_capacity(context, s.hidden)
                : clusters             ? gated_capacity(context, s.hidden)
                                       : context.platform.limits().multiprocessors});
}

const Strategy& in_float32(const CudaContext& context, Cell cell, const SequenceShape& s) {
  if (traits(cell).gates > 1) return s.hidden <= kMaxGatedHidden && gated_pays(context, s) ? kGated : kStepwise;
  if (s.hidden > kMaxResidentHidden) return cluster_pays(context, s) ? kCluster : kStepwise;
  return resident_fits(context, s.hidden) ? kResident : kStepwise;
}

/// Null where there is none.
const Strategy* on_tensor_cores(Cell cell, const SequenceShape& s) {
  if (traits(cell).gates > 1) return s.hidden <= kMaxTensorCoreGatedHidden ? &kTensorCoresGated : nullptr;
  return s.hidden <= kMaxResidentHidden ? &kTensorCores : nullptr;
}

/// Whether its kernels take packed sequences of so many units, where no gradients of single steps flow into them.
bool can_pack(const Strategy& strategy, std::int64_t hidden) {
  return (&strategy == &kTensorCores || &strategy == &kTensorCoresGated) && hidden % 8 == 0;
}

struct Choice {
  const Strategy& strategy;
  bool declines = false;  // kMixed runs in float32, since tensor cores would take longer
};

/// Each way for itself: what the way back reads of the way forward is the same whichever ran. Up to H = 256 a step of
/// the kernels that keep W_hh takes less than the launch of one kernel (see README.md). All but the stepwise ones index
/// with 32 bits: the states, what is saved, and the input's `rows`. With gradients of single steps (has_steps, back)
/// only those run that add to them. kMixed takes tensor cores where they have kernels and float32 is not expected to be
/// faster (step_cycles.h), of sequences that are packed or not.
Choice choose(const CudaContext& context, Cell cell, const SequenceShape& s, std::int64_t rows, Way way, bool has_steps,
              bool packed) {
  if (context.recurrence != Recurrence::kReel) return {kCudnn};
  const std::int64_t numbers = std::max(traits(cell).gates, traits(cell).saved);  // of a unit and step, at most
  const std::int64_t largest = std::max((s.steps + 1) * s.batch, rows) * numbers * s.hidden;
  if (s.hidden > kMaxClusterHidden || largest >= std::int64_t{1} << 31) return {kStepwise};
  const auto runs = [&](const Strategy& strategy) { return !has_steps || strategy.adds_to_steps; };
  const Strategy& first = in_float32(context, cell, s);
  const Strategy& float32 = runs(first) ? first : kStepwise;
  const Strategy* const tensor_cores = multiplies_16_bits(context, cell) ? on_tensor_cores(cell, s) : nullptr;
  if (tensor_cores == nullptr || !runs(*tensor_cores)) return {float32};
  const auto theirs = estimate_of(context, *tensor_cores, cell, s, way, has_steps, packed);
  const auto its = estimate_of(context, float32, cell, s, way, has_steps, false);
  if (theirs && its && *theirs > *its) return {float32, true};
  return {*tensor_cores};
}

Choice choose_forward(const CudaContext& context, Cell cell, const SequenceShape& s, std::int64_t rows, bool packed) {
  return choose(context, cell, s, rows, Way::kForward, false, packed);
}
Choice choose_back(const CudaContext& context, Cell cell, const SequenceShape& s, bool has_steps, bool packed) {
  return choose(context, cell, s, 0, Way::kBack, has_steps, packed);
}

std::string text_of(const CudaContext& context, const Choice& choice, Cell cell, std::int64_t hidden) {
  const auto& [strategy, declines] = choice;
  std::string text = strategy.description;
  if (&strategy == &kCluster) text += ", " + std::to_string(cluster_capacity(context, hidden)) + " at once";
  if (&strategy == &kGated && hidden > kMaxGatedHiddenOfABlock) {
    text += " in clusters of blocks, " + std::to_string(gated_capacity(context, hidden)) + " at once";
  }
  if (&strategy == &kCudnn) {
    text += std::string(", ") + name_of_cudnn_algorithm(cudnn_algorithm(context.recurrence, cell, hidden));
    if (projects_input(context, cell)) text += ", with the projection";
  }
  if (declines) text += ", tensor cores would take longer";
  return text;
}

/// Of the one launch for all steps: what it reads, writes and multiplies, and how long it is expected to take.
/// `elements`: of a unit and step, that come from memory or go there.
std::optional<PlanRecorder::Known> known_of(const CudaContext& context, const Strategy& strategy, Cell cell,
                                            const SequenceShape& s, Way way, bool has_steps, bool packed,
                                            double elements) {
  if (strategy.family == nullptr) return {};
  const auto units_and_steps = static_cast<double>(s.steps * s.batch * s.hidden);
  return PlanRecorder::Known{
      .work = {.bytes = 4 * elements * units_and_steps,
               .flops = 2 * traits(cell).gates * units_and_steps * static_cast<double>(s.hidden)},
      .microseconds = estimate_of(context, strategy, cell, s, way, has_steps, packed)};
}

}  // namespace

Recurrence cudnn_algorithm(Recurrence asked, Cell cell, std::int64_t hidden) {
  const std::int64_t small = traits(cell).gates > 1 ? 128 : 256;
  if (asked != Recurrence::kCudnn) return asked;
  return hidden <= small ? Recurrence::kCudnnPersistSmallHidden : Recurrence::kCudnnStandard;
}

const char* name_of_cudnn_algorithm(Recurrence algorithm) {
  switch (algorithm) {
    case Recurrence::kCudnnPersistStatic:
      return "persist static";
    case Recurrence::kCudnnPersistDynamic:
      return "persist dynamic";
    case Recurrence::kCudnnPersistSmallHidden:
      return "persist static, small H";
    default:
      return "standard";
  }
}

bool projects_input(const CudaContext& context, Cell cell) {
  return context.recurrence != Recurrence::kReel && traits(cell).gates > 1;
}

bool packs_sequences(const CudaContext& context, Cell cell, const SequenceShape& shape, std::int64_t rows,
                     bool has_steps) {
  if (has_steps) return false;
  const Strategy& forward = choose_forward(context, cell, shape, rows, true).strategy;
  const Strategy& back = choose_back(context, cell, shape, false, true).strategy;
  return can_pack(forward, shape.hidden) && can_pack(back, shape.hidden);
}

std::string describe_recurrence(const CudaContext& context, Cell cell, const SequenceShape& shape, std::int64_t rows,
                                bool has_steps) {
  const bool packed = packs_sequences(context, cell, shape, rows, has_steps);
  const Choice forward = choose_forward(context, cell, shape, rows, packed),
               back = choose_back(context, cell, shape, has_steps, packed);
  std::string text = text_of(context, forward, cell, shape.hidden);
  if (&back.strategy != &forward.strategy) text += "; back " + text_of(context, back, cell, shape.hidden);
  return text;
}

void execute(CudaContext& context, const LayerForward<float>& op) {
  REEL_CHECK(projects_input(context, op.recurrence.cell), "{}", traits(op.recurrence.cell).name);
  layer_forward_cudnn(context, op);
}

void execute(CudaContext& context, const LayerBackward<float>& op) {
  REEL_CHECK(projects_input(context, op.recurrence.cell), "{}", traits(op.recurrence.cell).name);
  layer_backward_cudnn(context, op);
}

void execute(CudaContext& context, const RecurrenceForward<float>& op) {
  REEL_CHECK(!projects_input(context, op.cell), "{} without its projection", traits(op.cell).name);
  const CellTraits& cell = traits(op.cell);
  const Strategy& strategy = choose_forward(context, op.cell, op.shape, op.input.rows(), op.packed).strategy;
  REEL_CHECK(!op.packed || can_pack(strategy, op.shape.hidden), "packed states: {}", strategy.description);
  const PlannedWork work(known_of(context, strategy, op.cell, op.shape, Way::kForward, false, op.packed,
                                  cell.gates + (op.packed ? 0.5 : 1) + (op.saved.empty() ? 0 : cell.saved)));
  strategy.forward(context, op);
}

void execute(CudaContext& context, const RecurrenceBackward<float>& op) {
  REEL_CHECK(!projects_input(context, op.cell), "{} without its projection", traits(op.cell).name);
  const bool has_steps = op.d_output.has_steps();
  const Strategy& strategy = choose_back(context, op.cell, op.shape, has_steps, op.packed).strategy;
  REEL_CHECK(!op.packed || (can_pack(strategy, op.shape.hidden) && !has_steps), "packed gradients: {}",
             strategy.description);
  {
    const CellTraits& cell = traits(op.cell);
    const double gradients = cell.gates * (cell.recurrent_bias ? 2 : 1);
    const PlannedWork work(known_of(context, strategy, op.cell, op.shape, Way::kBack, has_steps, op.packed,
                                    cell.saved + (1 + gradients) * (op.packed ? 0.5 : 1)));
    strategy.backward(context, op);
  }
  truncate(context, op);
  // The product over all B T steps is split by cuBLAS; adding it up inside the kernel would cost as many FMAs there.
  const auto [B, T, H] = op.shape;
  const std::int64_t GH = traits(op.cell).gates * H;
  const std::span<const float> d_recurrent = op.recurrent_gradient();
  CudaContext& side = context.fork(Side::kRecurrent);
  if (op.packed) {
    weight_gradient(side, op);
  } else {
    side.platform.product({.m = GH,
                           .n = H,
                           .k = T * B,
                           .a = d_recurrent.data(),
                           .b = op.h.data(),
                           .c = op.d_w_hh.data(),
                           .a_transposed = true,
                           .tensor_cores = multiplies_16_bits(context, op.cell)});
  }
  if (op.d_b_hh.empty()) return;
  const ColumnSums bias{.matrix = d_recurrent.data() + packed_size(GH - H, op.packed),
                        .rows = T * B,
                        .stride = GH,
                        .columns = H,
                        .sums = op.d_b_hh.data(),
                        .packed = op.packed};
  side.scratch.reserve(bias.scratch());
  sum_columns(side, bias);
}

}  // namespace reel::cuda
