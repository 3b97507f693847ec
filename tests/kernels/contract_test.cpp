// Every argument of every operation is checked: one that is too small, or out of range, is named.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace reel {
namespace {

constexpr std::int64_t B = 2, T = 3, V = 9, E = 4, H = 5, N = 3, D = 7, C = 4, U = 6;  // U: as many as positions

class Contract : public testing::Test {
 protected:
  /// Room for everything, and of the size that is asked for.
  template <class T>
  std::span<T> room(std::int64_t size) {
    static std::vector<T> all(1000);
    return std::span(all).first(static_cast<std::size_t>(size));
  }
  std::span<std::int32_t> ints(std::int64_t size) { return room<std::int32_t>(size); }
  std::span<double> reals(std::int64_t size) { return room<double>(size); }
  std::span<double> other_reals(std::int64_t size) { return room<double>(size + 1).subspan(1); }  // at another address

  TokenIndex index() {
    return {.count = ints(1),
            .tokens = ints(U),
            .slot = ints(V),
            .row_of = ints(B * T),
            .segment = ints(U + 1),
            .position = ints(B * T)};
  }
  ParameterGradient<double> gradient() {
    return {.index = index(), .embedding = E, .rows = reals(U * E), .dense = reals(D)};
  }

  template <class Op>
  void expect_refused(Op op, const char* name, const std::function<void(Op&)>& change) {
    EXPECT_NO_THROW(check_arguments(op)) << Op::kName;
    change(op);
    try {
      check_arguments(op);
      ADD_FAILURE() << Op::kName << ": " << name;
    } catch (const ContractError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
};

/// Changes a member to one that is an element short.
#define REEL_SHORT(op, member) \
  expect_refused<std::remove_const_t<decltype(op)>>(op, #member, [](auto& o) { o.member = o.member.subspan(1); })
#define REEL_WRONG(op, member, value) \
  expect_refused<std::remove_const_t<decltype(op)>>(op, #member, [](auto& o) { o.member = value; })

TEST_F(Contract, OfBatches) {
  const SelectRows select{.shape = {B, T},
                          .data_ids = ints(N * T),
                          .data_lengths = ints(N),
                          .data_labels = ints(N),
                          .data_targets = {ints(N + 1), ints(D), room<float>(D)},
                          .data_weights = room<float>(N),
                          .rows = ints(B),
                          .ids = ints(B * T),
                          .lengths = ints(B),
                          .by_length = ints(B),
                          .labels = ints(B),
                          .targets = room<float>(B * C),
                          .weights = room<float>(B)};
  REEL_SHORT(select, data_ids);
  expect_refused<SelectRows>(select, "data_ids", [](auto& op) { op.data_lengths = op.data_lengths.subspan(1); });
  REEL_SHORT(select, data_labels);
  REEL_SHORT(select, data_targets.begin);
  REEL_SHORT(select, data_targets.columns);
  REEL_SHORT(select, data_targets.values);
  REEL_SHORT(select, data_weights);
  REEL_SHORT(select, targets);
  REEL_SHORT(select, weights);
  REEL_WRONG(select, targets, {});
  REEL_WRONG(select, weights, {});
  REEL_WRONG(select, labels, {});
  expect_refused<SelectRows>(select, "labels", [](auto& op) { op.data_labels = {}; });
  expect_refused<SelectRows>(select, "targets", [](auto& op) { op.data_targets = {}; });
  expect_refused<SelectRows>(select, "weights", [](auto& op) { op.data_weights = {}; });
  REEL_SHORT(select, rows);
  REEL_SHORT(select, ids);
  REEL_SHORT(select, lengths);
  REEL_SHORT(select, by_length);
  REEL_SHORT(select, labels);
  REEL_WRONG(select, word_dropout, 1.5f);
  REEL_WRONG(select, unknown_id, -1);
  const IndexTokens indexing{.shape = {B, T}, .ids = ints(B * T), .lengths = ints(B), .index = index()};
  REEL_SHORT(indexing, ids);
  REEL_SHORT(indexing, lengths);
  REEL_SHORT(indexing, index.count);
  REEL_SHORT(indexing, index.tokens);
  REEL_SHORT(indexing, index.row_of);
  REEL_SHORT(indexing, index.segment);
  REEL_SHORT(indexing, index.position);
  REEL_WRONG(indexing, index.slot, {});
}

TEST_F(Contract, OfProjections) {
  const ProjectTokens<double> project{.count = ints(1),
                                      .tokens = ints(U),
                                      .embedding = reals(V * E),
                                      .w_ih = reals(H * E),
                                      .bias = reals(H),
                                      .projected = reals(U * H)};
  REEL_SHORT(project, count);
  REEL_SHORT(project, embedding);
  REEL_SHORT(project, w_ih);
  REEL_SHORT(project, projected);
  REEL_WRONG(project, bias, {});
  REEL_WRONG(project, embedding, {});
  expect_refused<ProjectTokens<double>>(project, "tokens", [this](auto& op) { op.tokens = ints(V + 1); });
  const ProjectionGradient<double> back{.shape = {B, T},
                                        .index = index(),
                                        .d_input = reals(T * B * H),
                                        .embedding = reals(V * E),
                                        .w_ih = reals(H * E),
                                        .d_projected = reals(U * H),
                                        .d_embedding = reals(U * E),
                                        .d_w_ih = reals(H * E),
                                        .d_bias = reals(H)};
  REEL_SHORT(back, index.position);
  REEL_SHORT(back, d_input);
  REEL_SHORT(back, embedding);
  REEL_SHORT(back, w_ih);
  REEL_SHORT(back, d_projected);
  REEL_SHORT(back, d_embedding);
  REEL_SHORT(back, d_w_ih);
  REEL_WRONG(back, d_bias, {});
}

TEST_F(Contract, OfRecurrences) {
  const RecurrenceForward<double> forward{.shape = {B, T, H},
                                          .lengths = ints(B),
                                          .by_length = ints(B),
                                          .input = {.values = reals(U * H), .width = H, .row_of = ints(B * T)},
                                          .w_hh = reals(H * H),
                                          .h = reals((T + 1) * B * H)};
  REEL_SHORT(forward, lengths);
  REEL_SHORT(forward, by_length);
  REEL_SHORT(forward, input.values);
  REEL_SHORT(forward, input.row_of);
  REEL_SHORT(forward, w_hh);
  REEL_SHORT(forward, h);
  expect_refused<RecurrenceForward<double>>(forward, "a row of the input", [](auto& op) { op.input.width = H + 1; });
  expect_refused<RecurrenceForward<double>>(forward, "hidden", [](auto& op) { op.shape.hidden = 0; });
  const RecurrenceBackward<double> back{.shape = {B, T, H},
                                        .lengths = ints(B),
                                        .by_length = ints(B),
                                        .h = reals((T + 1) * B * H),
                                        .w_hh = reals(H * H),
                                        .d_output = {.last = reals(B * H), .every = reals(B * H)},
                                        .d_input = reals(T * B * H),
                                        .d_w_hh = reals(H * H)};
  REEL_SHORT(back, lengths);
  REEL_SHORT(back, by_length);
  REEL_SHORT(back, h);
  REEL_SHORT(back, w_hh);
  REEL_SHORT(back, d_output.last);
  REEL_SHORT(back, d_output.every);
  REEL_SHORT(back, d_input);
  REEL_SHORT(back, d_w_hh);
  expect_refused<RecurrenceBackward<double>>(back, "hidden", [](auto& op) { op.shape.hidden = 0; });
}

TEST_F(Contract, OfGatedRecurrences) {
  constexpr std::int64_t G = 3, S = 4;
  const RecurrenceForward<double> forward{.cell = Cell::kGru,
                                          .shape = {B, T, H},
                                          .lengths = ints(B),
                                          .input = {.values = reals(V * G * H), .width = G * H, .row_of = ints(B * T)},
                                          .w_hh = reals(G * H * H),
                                          .b_hh = reals(H),
                                          .h = reals((T + 1) * B * H),
                                          .saved = reals(T * B * S * H)};
  REEL_SHORT(forward, input.values);
  REEL_SHORT(forward, w_hh);
  REEL_SHORT(forward, b_hh);
  REEL_SHORT(forward, saved);
  expect_refused<RecurrenceForward<double>>(forward, "b_hh", [](auto& op) { op.b_hh = {}; });
  expect_refused<RecurrenceForward<double>>(forward, "initial_c", [&](auto& op) { op.initial_c = reals(B * H); });
  expect_refused<RecurrenceForward<double>>(forward, "final_c", [&](auto& op) { op.final_c = reals(B * H); });
  expect_refused<RecurrenceForward<double>>(forward, "a row of the input", [](auto& op) { op.input.width = H; });
  const RecurrenceBackward<double> back{
      .cell = Cell::kGru,
      .shape = {B, T, H},
      .lengths = ints(B),
      .h = reals((T + 1) * B * H),
      .saved = reals(T * B * S * H),
      .w_hh = reals(G * H * H),
      .d_output = {.last = reals(B * H),
                   .every = reals(B * H),
                   .maximum = reals(B * H),
                   .argmax = ints(B * H),
                   .above = {.values = reals(U * 2 * H), .width = 2 * H, .row_of = ints(B * T)},
                   .column = H},
      .d_input = reals(T * B * G * H),
      .d_recurrent = reals(T * B * G * H),
      .d_w_hh = reals(G * H * H),
      .d_b_hh = reals(H)};
  REEL_SHORT(back, saved);
  REEL_SHORT(back, w_hh);
  REEL_SHORT(back, d_input);
  REEL_SHORT(back, d_recurrent);
  REEL_SHORT(back, d_w_hh);
  REEL_SHORT(back, d_b_hh);
  REEL_SHORT(back, d_output.last);
  REEL_SHORT(back, d_output.every);
  REEL_SHORT(back, d_output.argmax);
  REEL_WRONG(back, d_output.column, -1);
  const auto refuse = [&](const char* name, const std::function<void(OutputGradient<double>&)>& change) {
    expect_refused<RecurrenceBackward<double>>(back, name, [&](auto& op) { change(op.d_output); });
  };
  refuse("maximum", [](auto& o) { o.maximum = o.maximum.subspan(1); });
  refuse("columns of d_output.above", [](auto& o) { o.column = H + 1; });
  refuse("d_output.above", [](auto& o) { o.above.values = o.above.values.subspan(1); });
  refuse("d_output.above.row_of", [](auto& o) { o.above.row_of = o.above.row_of.subspan(1); });
  REEL_WRONG(back, bptt, -1);
  expect_refused<RecurrenceBackward<double>>(back, "initial_c", [&](auto& op) { op.initial_c = reals(B * H); });
  expect_refused<RecurrenceBackward<double>>(back, "saved", [](auto& op) { op.saved = {}; });
}

TEST_F(Contract, OfLayers) {
  constexpr std::int64_t G = 4, S = 5;
  const LayerForward<double> forward{
      .projection = {.count = ints(1),
                     .tokens = ints(U),
                     .embedding = reals(V * E),
                     .w_ih = reals(G * H * E),
                     .bias = reals(G * H),
                     .projected = reals(U * G * H)},
      .recurrence = {.cell = Cell::kLstm,
                     .shape = {B, T, H},
                     .lengths = ints(B),
                     .input = {.values = reals(U * G * H), .width = G * H, .row_of = ints(B * T)},
                     .w_hh = reals(G * H * H),
                     .h = reals((T + 1) * B * H)}};
  const auto refuse = [&](const char* name, const std::function<void(LayerForward<double>&)>& change) {
    expect_refused(forward, name, change);
  };
  refuse("w_ih", [](auto& op) { op.projection.w_ih = op.projection.w_ih.subspan(1); });
  refuse("w_hh", [](auto& op) { op.recurrence.w_hh = op.recurrence.w_hh.subspan(1); });
  refuse("projection.bias", [&](auto& op) {
    op.projection.bias = reals(H);
    op.projection.w_ih = reals(H * E);
    op.projection.projected = reals(U * H);
  });
  refuse("projected and input.values", [&](auto& op) { op.projection.projected = other_reals(U * G * H); });
  refuse("final_c", [&](auto& op) { op.recurrence.final_c = reals(B * H); });
  const LayerBackward<double> back{.recurrence = {.cell = Cell::kLstm,
                                                  .shape = {B, T, H},
                                                  .lengths = ints(B),
                                                  .h = reals((T + 1) * B * H),
                                                  .saved = reals(T * B * S * H),
                                                  .w_hh = reals(G * H * H),
                                                  .d_output = {.last = reals(B * H)},
                                                  .d_input = reals(T * B * G * H),
                                                  .d_w_hh = reals(G * H * H)},
                                   .projection = {.shape = {B, T},
                                                  .index = index(),
                                                  .d_input = reals(T * B * G * H),
                                                  .embedding = reals(V * E),
                                                  .w_ih = reals(G * H * E),
                                                  .d_projected = reals(U * G * H),
                                                  .d_embedding = reals(U * E),
                                                  .d_w_ih = reals(G * H * E),
                                                  .d_bias = reals(G * H)}};
  const auto refuse_back = [&](const char* name, const std::function<void(LayerBackward<double>&)>& change) {
    expect_refused(back, name, change);
  };
  refuse_back("d_w_hh", [](auto& op) { op.recurrence.d_w_hh = op.recurrence.d_w_hh.subspan(1); });
  refuse_back("d_embedding", [](auto& op) { op.projection.d_embedding = op.projection.d_embedding.subspan(1); });
  refuse_back("projection.d_bias", [&](auto& op) {
    op.projection.d_bias = reals(H);
    op.projection.d_input = reals(T * B * H);
    op.projection.w_ih = op.projection.d_w_ih = reals(H * E);
    op.projection.d_projected = reals(U * H);
  });
  refuse_back("d_input and d_input", [&](auto& op) { op.projection.d_input = other_reals(T * B * G * H); });
  refuse_back("projection.shape.batch", [](auto& op) { op.projection.shape = {T, B}; });
  refuse_back("bptt", [](auto& op) { op.recurrence.bptt = 1; });
}

TEST_F(Contract, OfHeads) {
  constexpr std::int64_t P = 3 * 2 * H;  // three poolings of two directions
  const HeadForward<double> forward{.shape = {B, T, H},
                                    .lengths = ints(B),
                                    .h = reals((T + 1) * B * H),
                                    .h_reverse = reals((T + 1) * B * H),
                                    .pool = Pool::kConcat,
                                    .fc_weight = reals(C * P),
                                    .fc_bias = reals(C),
                                    .pooled = reals(B * P),
                                    .argmax = ints(2 * B * H),
                                    .logits = reals(B * C)};
  REEL_SHORT(forward, lengths);
  REEL_SHORT(forward, h);
  REEL_SHORT(forward, h_reverse);
  REEL_SHORT(forward, fc_weight);
  REEL_WRONG(forward, fc_bias, {});
  expect_refused<HeadForward<double>>(forward, "fc_weight", [](auto& op) { op.fc_bias = op.fc_bias.subspan(1); });
  REEL_SHORT(forward, pooled);
  REEL_SHORT(forward, argmax);
  REEL_SHORT(forward, logits);
  REEL_WRONG(forward, dropout, -0.5f);
  const HeadBackward<double> back{.shape = {B, T, H},
                                  .directions = 2,
                                  .loss = Loss::kSigmoid,
                                  .targets = room<float>(B * C),
                                  .weights = room<float>(B),
                                  .positive_weights = room<float>(C),
                                  .logits = reals(B * C),
                                  .stats = room<BatchStats>(1),
                                  .lengths = ints(B),
                                  .pooled = reals(B * P),
                                  .fc_weight = reals(C * P),
                                  .pool = Pool::kConcat,
                                  .d_fc_weight = reals(C * P),
                                  .d_fc_bias = reals(C),
                                  .d_state = reals(B * P)};
  REEL_SHORT(back, targets);
  REEL_SHORT(back, weights);
  REEL_SHORT(back, positive_weights);
  REEL_SHORT(back, logits);
  REEL_SHORT(back, stats);
  REEL_SHORT(back, lengths);
  REEL_SHORT(back, pooled);
  REEL_SHORT(back, fc_weight);
  REEL_SHORT(back, d_fc_weight);
  REEL_WRONG(back, d_fc_bias, {});
  REEL_SHORT(back, d_state);
  REEL_WRONG(back, dropout, 2);
  expect_refused<HeadBackward<double>>(back, "targets", [](auto& op) { op.d_fc_bias = op.d_fc_bias.subspan(1); });
}

TEST_F(Contract, OfLosses) {
  const auto make = [&](Loss loss, std::int64_t outputs, bool labels) {
    return HeadBackward<double>{.shape = {B, T, H},
                                .loss = loss,
                                .labels = ints(labels ? B : 0),
                                .targets = room<float>(labels ? 0 : B * outputs),
                                .logits = reals(B * outputs),
                                .stats = room<BatchStats>(1),
                                .lengths = ints(B),
                                .pooled = reals(B * H),
                                .fc_weight = reals(outputs * H),
                                .d_fc_weight = reals(outputs * H),
                                .d_fc_bias = reals(outputs),
                                .d_state = reals(B * H)};
  };
  using Op = HeadBackward<double>;
  const auto add_labels = [&](Op& op) { op.labels = ints(B); };
  const auto only_labels = [&](Op& op) { op.labels = ints(B), op.targets = {}; };
  const auto add_positive_weights = [&](Op& op) { op.positive_weights = room<float>(op.outputs()); };
  for (const auto& [loss, outputs] : {std::pair{Loss::kSigmoid, std::int64_t{1}}, {Loss::kSoftmax, C}}) {
    const Op op = make(loss, outputs, true);
    REEL_SHORT(op, labels);
    REEL_WRONG(op, labels, {});
    expect_refused<Op>(op, "labels", [&](Op& o) { o.targets = room<float>(B * o.outputs()); });
  }
  for (const auto& [loss, outputs] :
       {std::pair{Loss::kSigmoid, std::int64_t{1}}, {Loss::kSigmoid, C}, {Loss::kSoftmax, C}, {Loss::kSquared, C}}) {
    const Op op = make(loss, outputs, false);
    REEL_SHORT(op, targets);
    expect_refused<Op>(op, "labels", add_labels);
  }
  expect_refused<Op>(make(Loss::kSigmoid, C, false), "labels", only_labels);
  expect_refused<Op>(make(Loss::kSquared, C, false), "labels", only_labels);
  expect_refused<Op>(make(Loss::kSquared, 1, false), "labels", only_labels);
  expect_refused<Op>(make(Loss::kSquared, C, false), "targets", [](Op& op) { op.targets = {}; });
  expect_refused<Op>(make(Loss::kSquared, C, false), "positive_weights", add_positive_weights);
  expect_refused<Op>(make(Loss::kSoftmax, C, true), "positive_weights", add_positive_weights);
}

TEST_F(Contract, OfStacks) {
  TokenIndex steps = index();
  steps.slot = ints(B * T);
  const IndexSteps list{.shape = {B, T}, .lengths = ints(B), .index = steps};
  REEL_SHORT(list, lengths);
  REEL_SHORT(list, index.slot);
  REEL_SHORT(list, index.tokens);
  const ReverseIndex reverse{.shape = {B, T},
                             .lengths = ints(B),
                             .row_of = ints(B * T),
                             .position = ints(B * T),
                             .reverse_row_of = ints(B * T),
                             .reverse_position = ints(B * T)};
  REEL_SHORT(reverse, lengths);
  REEL_SHORT(reverse, row_of);
  REEL_SHORT(reverse, position);
  REEL_SHORT(reverse, reverse_row_of);
  REEL_SHORT(reverse, reverse_position);
  const StackStates<double> stack{.shape = {B, T, H},
                                  .lengths = ints(B),
                                  .h = reals((T + 1) * B * H),
                                  .h_reverse = reals((T + 1) * B * H),
                                  .dropout = {.rate = 0.5f},
                                  .rows = reals(T * B * 2 * H)};
  REEL_SHORT(stack, lengths);
  REEL_SHORT(stack, h);
  REEL_SHORT(stack, h_reverse);
  REEL_SHORT(stack, rows);
  REEL_WRONG(stack, dropout.rate, 2);
  REEL_WRONG(stack, dropout.layer, -1);
  const StackGradient<double> back{.shape = {B, T},
                                   .count = ints(1),
                                   .tokens = ints(B * T),
                                   .width = 2 * H,
                                   .dropout = {.rate = 0.5f},
                                   .d_rows = reals(T * B * 2 * H)};
  REEL_SHORT(back, count);
  REEL_SHORT(back, tokens);
  REEL_SHORT(back, d_rows);
  REEL_WRONG(back, width, 0);
  REEL_WRONG(back, dropout.rate, -1);
}

TEST_F(Contract, OfOperationsWithAClock) {
  const BeginStep begin{.clock = room<StepClock>(2), .rows = B, .slots = 3};
  REEL_SHORT(begin, clock);
  REEL_WRONG(begin, rows, -1);
  REEL_WRONG(begin, slots, 0);
  const StepClock clock;
  const SelectRows select{.shape = {B, T},
                          .data_ids = ints(N * T),
                          .data_lengths = ints(N),
                          .rows = ints(B + 1),
                          .clock = &clock,
                          .ids = ints(B * T),
                          .lengths = ints(B)};
  expect_refused<SelectRows>(select, "rows", [this](auto& op) { op.rows = ints(B - 1); });
  expect_refused<SelectRows>(select, "rows", [](auto& op) { op.clock = nullptr; });
  const ClipGradient<double> clip{
      .gradient = gradient(), .scale = reals(1), .stats = room<BatchStats>(3), .clock = &clock};
  REEL_WRONG(clip, stats, {});
  expect_refused<ClipGradient<double>>(clip, "stats", [](auto& op) { op.clock = nullptr; });
  const OptimizerStep<double> step{.step = 0,
                                   .gradient = gradient(),
                                   .scale = reals(1),
                                   .parameters = reals(V * E + D),
                                   .state1 = reals(V * E + D),
                                   .state2 = reals(V * E + D),
                                   .clock = &clock,
                                   .rates = room<StepRates<double>>(LazyRows::kMaxLag + 1)};
  REEL_SHORT(step, rates);
  expect_refused<OptimizerStep<double>>(step, "rates", [](auto& op) {
    op.step = 1;
    op.clock = nullptr;
  });
}

TEST_F(Contract, OfOptimizers) {
  const ClipGradient<double> clip{
      .gradient = gradient(), .clip_norm = 1, .scale = reals(1), .stats = room<BatchStats>(1)};
  REEL_SHORT(clip, gradient.rows);
  REEL_SHORT(clip, scale);
  REEL_SHORT(clip, stats);
  REEL_WRONG(clip, gradient.embedding, 0);
  expect_refused<ClipGradient<double>>(clip, "index.slot", [](auto& op) { op.gradient.index.slot = {}; });
  REEL_WRONG(clip, clip_value, -1);
  REEL_WRONG(clip, clip_norm, -1);
  const OptimizerStep<double> step{.gradient = gradient(),
                                   .scale = reals(1),
                                   .parameters = reals(V * E + D),
                                   .state1 = reals(V * E + D),
                                   .state2 = reals(V * E + D)};
  REEL_SHORT(step, gradient.rows);
  REEL_SHORT(step, gradient.dense);
  REEL_SHORT(step, scale);
  REEL_SHORT(step, state1);
  REEL_SHORT(step, state2);
  expect_refused<OptimizerStep<double>>(step, "step", [](auto& op) { op.step = 0; });
  expect_refused<OptimizerStep<double>>(step, "lazy.taken",
                                        [this](auto& op) { op.lazy.taken = room<std::int32_t>(V - 1); });
  OptimizerStep<double> late = step;
  late.step = std::int64_t{1} << 31;  // more than `taken` has room for
  EXPECT_NO_THROW(check_arguments(late));
  expect_refused<OptimizerStep<double>>(late, "step", [this](auto& op) { op.lazy.taken = room<std::int32_t>(V); });
  const CatchUp<double> catch_up{.embedding = E,
                                 .index = gradient().index,
                                 .parameters = reals(V * E + D),
                                 .state1 = reals(V * E + D),
                                 .state2 = reals(V * E + D),
                                 .lazy = {.taken = room<std::int32_t>(V)}};
  REEL_SHORT(catch_up, state1);
  REEL_SHORT(catch_up, state2);
  REEL_WRONG(catch_up, embedding, 0);
  REEL_WRONG(catch_up, step, -1);
  REEL_WRONG(catch_up, step, std::int64_t{1} << 31);
  expect_refused<CatchUp<double>>(catch_up, "lazy.taken", [](auto& op) { op.lazy.taken = {}; });
  expect_refused<CatchUp<double>>(catch_up, "parameters", [this](auto& op) { op.parameters = reals(V * E - 1); });
  expect_refused<CatchUp<double>>(catch_up, "index.count", [](auto& op) { op.index.count = {}; });
}

}  // namespace
}  // namespace reel
