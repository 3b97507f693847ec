// Recurrences that begin with a state, on every device: one that goes on where another ended, and gradients that stop
// some steps before a row's end.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/devices.h"

namespace reel::test {
namespace {

using Ids = std::vector<std::int32_t>;
using Values = std::vector<float>;

constexpr std::int64_t B = 4, T = 6;
const Ids kLengths = {6, 0, 3, 1};

float& at(Values& values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; }

/// Between -1 and 1, and other ones for another `seed`.
Values numbers(std::int64_t count, int seed) {
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(seed) * 11) % 23) / 11.5f - 0.9f;
  }
  return values;
}

void expect_near(const Values& actual, const Values& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 1;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], tolerance * largest) << i;
}

/// Rows of a batch, each from a step of its own on and with the states that it begins with.
struct Rows {
  Ids first, lengths;  // [B]
  Values h, c;         // [B, H]; c of LSTM alone
};

/// What a recurrence through them leaves, and what flows back.
struct Ran {
  Values h, c;            // [B, H] after each row's last step
  Values d_input;         // [T, B, G*H]
  Values d_w_hh, d_b_hh;  // [G*H, H], [H] or empty
};

class DeviceState : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    REEL_REQUIRE_DEVICE(GetParam());
    backend_ = GetParam().make();
  }

  /// Calls `test` for each cell whose recurrence the device has by itself.
  template <class Test>
  void for_each_cell(const Test& test) {
    for (const CellTraits& cell : kCells) {
      if (backend_->projects_input(cell.cell)) continue;
      for (const std::int64_t hidden : {5, 100, 200}) {
        SCOPED_TRACE(std::string(cell.name) + " H " + std::to_string(hidden));
        H = hidden;
        test(cell);
      }
    }
  }

  Rows whole(const CellTraits& cell) const {
    return {.first = Ids(B, 0),
            .lengths = kLengths,
            .h = numbers(B * H, 1),
            .c = cell.cell == Cell::kLstm ? numbers(B * H, 2) : Values()};
  }

  template <class Element>
  Buffer<Element> upload(const std::vector<Element>& values) {
    auto buffer = backend_->allocate<Element>(static_cast<std::int64_t>(values.size()));
    backend_->upload(std::span<const Element>(values), buffer.span());
    return buffer;
  }
  Values download(const Buffer<float>& buffer) {
    Values values(buffer.size());
    backend_->download(buffer.span(), std::span(values));
    return values;
  }

  /// Forward, with or without what the way back needs.
  Ran forward(const CellTraits& cell, const Rows& rows, bool save) { return run(cell, rows, save, {}, 0); }
  /// And back, of gradients into the last step and `every` [B, H].
  Ran forward_and_back(const CellTraits& cell, const Rows& rows, std::int64_t bptt, const Values& every) {
    return run(cell, rows, true, every, bptt);
  }
  Ran forward_and_back(const CellTraits& cell, const Rows& rows, std::int64_t bptt) {
    return forward_and_back(cell, rows, bptt, numbers(B * H, 7));
  }

  std::int64_t H = 0;
  std::unique_ptr<Backend<float>> backend_;

 private:
  /// Back where there is something to flow there.
  Ran run(const CellTraits& cell, const Rows& rows, bool save, const Values& into_every, std::int64_t bptt) {
    const std::int64_t GH = cell.gates * H;
    const bool back = !into_every.empty();
    Ids row_of;
    for (const std::int32_t first : rows.first) {
      const auto b = static_cast<std::int64_t>(row_of.size()) / T;
      for (std::int64_t t = 0; t < T; ++t) {
        row_of.push_back(static_cast<std::int32_t>(std::min(first + t, T - 1) * B + b));
      }
    }
    Values states = rows.h;
    states.resize(static_cast<std::size_t>((T + 1) * B * H));
    Values weights = numbers(GH * H, 4);
    for (float& weight : weights) weight *= 5 / static_cast<float>(H);
    const auto input = upload(numbers(T * B * GH, 3)), w_hh = upload(weights),
               b_hh = upload(numbers(cell.recurrent_bias ? H : 0, 5));
    const auto lengths = upload(rows.lengths), index = upload(row_of);
    // Kept in place, or in memory of its own in which nothing is there before.
    auto h = upload(states), c = upload(rows.c), other_c = upload(Values(rows.c.size(), 1e3f)),
         saved = upload(Values(save ? as_size(T * B * cell.saved * H) : 0));
    backend_->run(RecurrenceForward<float>{.cell = cell.cell,
                                           .shape = {B, T, H},
                                           .lengths = lengths.span(),
                                           .input = {.values = input.span(), .width = GH, .row_of = index.span()},
                                           .w_hh = w_hh.span(),
                                           .b_hh = b_hh.span(),
                                           .h = h.span(),
                                           .initial_c = c.span(),
                                           .final_c = back ? other_c.span() : c.span(),
                                           .saved = save ? saved.span() : std::span<float>()});
    Ran ran{.h = Values(as_size(B * H)), .c = download(back ? other_c : c), .d_input = {}, .d_w_hh = {}, .d_b_hh = {}};
    states = download(h);
    for (std::int64_t b = 0; b < B; ++b) {
      for (std::int64_t j = 0; j < H; ++j) {
        at(ran.h, b * H + j) = at(states, (rows.lengths[as_size(b)] * B + b) * H + j);
      }
    }
    if (!back) return ran;
    const auto last = upload(numbers(B * H, 6)), every = upload(into_every);
    const Values poison(as_size(T * B * GH), 1e3f);  // written over wherever anybody reads
    auto d_input = upload(poison), d_recurrent = upload(cell.recurrent_bias ? poison : Values());
    auto d_w_hh = backend_->allocate<float>(GH * H), d_b_hh = backend_->allocate<float>(cell.recurrent_bias ? H : 0);
    backend_->run(RecurrenceBackward<float>{.cell = cell.cell,
                                            .shape = {B, T, H},
                                            .lengths = lengths.span(),
                                            .h = h.span(),
                                            .saved = saved.span(),
                                            .w_hh = w_hh.span(),
                                            .initial_c = c.span(),
                                            .d_output = {.last = last.span(), .every = every.span()},
                                            .bptt = bptt,
                                            .d_input = d_input.span(),
                                            .d_recurrent = d_recurrent.span(),
                                            .d_w_hh = d_w_hh.span(),
                                            .d_b_hh = d_b_hh.span()});
    ran.d_input = download(d_input);
    ran.d_w_hh = download(d_w_hh);
    ran.d_b_hh = download(d_b_hh);
    return ran;
  }
  static std::size_t as_size(std::int64_t count) { return static_cast<std::size_t>(count); }
};

/// A recurrence that goes on from the state where another ended is the one of all steps.
TEST_P(DeviceState, IsKeptFromOneRecurrenceToTheNext) {
  constexpr std::int32_t kFirst = 2;
  for_each_cell([&](const CellTraits& cell) {
    const Rows rows = whole(cell);
    const Ran expected = forward(cell, rows, true);
    EXPECT_NE(expected.h, rows.h);
    for (const bool save : {true, false}) {
      Rows begin = rows, end = rows;
      for (std::size_t b = 0; b < B; ++b) {
        begin.lengths[b] = end.first[b] = std::min(rows.lengths[b], kFirst);
        end.lengths[b] -= end.first[b];
      }
      const Ran half = forward(cell, begin, save);
      end.h = half.h;
      end.c = half.c;
      const Ran ran = forward(cell, end, save);
      expect_near(ran.h, expected.h, GetParam().tolerances.forward);
      expect_near(ran.c, expected.c, GetParam().tolerances.forward);
    }
  });
}

/// Truncated at K steps, gradients are those of rows that begin there with the state that they have by then.
TEST_P(DeviceState, GradientsStopAsFarFromTheEndAsIsAskedFor) {
  constexpr std::int32_t kBptt = 2;
  for_each_cell([&](const CellTraits& cell) {
    const Rows rows = whole(cell);
    const std::int64_t GH = cell.gates * H;
    Rows before = rows, end = rows;
    for (std::size_t b = 0; b < B; ++b) {
      before.lengths[b] = end.first[b] = std::max(rows.lengths[b] - kBptt, 0);
      end.lengths[b] -= end.first[b];
    }
    const Ran until = forward(cell, before, true);
    end.h = until.h;
    end.c = until.c;
    Ran truncated = forward_and_back(cell, rows, kBptt), expected = forward_and_back(cell, end, 0);
    const double tolerance = GetParam().tolerances.gradient;
    expect_near(truncated.d_w_hh, expected.d_w_hh, tolerance);
    expect_near(truncated.d_b_hh, expected.d_b_hh, tolerance);
    EXPECT_NE(truncated.d_w_hh, forward_and_back(cell, rows, 0).d_w_hh);
    for (std::int64_t b = 0; b < B; ++b) {
      const std::int64_t first = end.first[static_cast<std::size_t>(b)], length = kLengths[static_cast<std::size_t>(b)];
      for (std::int64_t t = 0; t < T; ++t) {
        for (std::int64_t j = 0; j < GH; ++j) {
          const float d_input = at(truncated.d_input, (t * B + b) * GH + j);
          if (t >= first && t < length) {
            EXPECT_NEAR(d_input, at(expected.d_input, ((t - first) * B + b) * GH + j), 10 * tolerance);
          } else if (t < first || GetParam().kind == DeviceKind::kCuda) {
            EXPECT_EQ(d_input, 0) << "step " << t << " of row " << b;
          }
        }
      }
    }
  });
}

/// After a row's end gradients are 0, even where what flows into its steps, or what they are made of, is no number.
TEST_P(DeviceState, GradientsEndWithTheirRow) {
  if (GetParam().kind != DeviceKind::kCuda) GTEST_SKIP() << "leaves what is after a row's end as it is";
  for_each_cell([&](const CellTraits& cell) {
    const std::int64_t GH = cell.gates * H;
    const auto expect_zeros = [&](Ran ran) {
      for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t t = kLengths[static_cast<std::size_t>(b)]; t < T; ++t) {
          for (std::int64_t j = 0; j < GH; ++j) ASSERT_EQ(at(ran.d_input, (t * B + b) * GH + j), 0) << b << " " << t;
        }
      }
    };
    for (const float number : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      expect_zeros(forward_and_back(cell, whole(cell), 0, Values(static_cast<std::size_t>(B * H), number)));
    }
    if (GetParam().recurrence != Recurrence::kReel) return;  // cuDNN's
    Rows rows = whole(cell);
    std::ranges::fill(rows.h, std::numeric_limits<float>::quiet_NaN());
    expect_zeros(forward_and_back(cell, rows, 0));
  });
}

/// With its projection, a recurrence step by step is the one of all steps; a row that has ended keeps its state.
TEST_P(DeviceState, IsKeptFromOneStepToTheNext) {
  constexpr std::int64_t E = 7, kRows = 9;
  for (const CellTraits& cell : kCells) {
    for (const std::int64_t hidden : {5, 100}) {
      SCOPED_TRACE(std::string(cell.name) + " H " + std::to_string(hidden));
      H = hidden;
      const std::int64_t GH = cell.gates * H;
      Values weights = numbers(GH * H, 4);
      for (float& weight : weights) weight *= 5 / static_cast<float>(H);
      const auto table = upload(numbers(kRows * E, 3)), w_ih = upload(numbers(GH * E, 5)), w_hh = upload(weights),
                 bias = upload(numbers(GH, 6)), b_hh = upload(numbers(cell.recurrent_bias ? H : 0, 7));
      auto projected = backend_->allocate<float>(kRows * GH);
      const Rows rows = whole(cell);
      // From a state on, through `steps` of the rows of `table` that `row_of` names.
      const auto forward = [&](const Rows& from, const Ids& row_of, std::int64_t steps, bool keeps) {
        Values states = from.h;
        states.resize(static_cast<std::size_t>((steps + 1) * B * H));
        const auto index = upload(row_of), lengths = upload(from.lengths);
        auto h = upload(states), c = upload(from.c);
        backend_->run(
            ProjectTokens<float>{
                .embedding = table.span(), .w_ih = w_ih.span(), .bias = bias.span(), .projected = projected.span()},
            RecurrenceForward<float>{.cell = cell.cell,
                                     .shape = {B, steps, H},
                                     .lengths = lengths.span(),
                                     .input = {.values = projected.span(), .width = GH, .row_of = index.span()},
                                     .w_hh = w_hh.span(),
                                     .b_hh = b_hh.span(),
                                     .h = h.span(),
                                     .initial_c = c.span(),
                                     .final_c = keeps ? c.span() : std::span<float>()});
        Rows to = from;
        states = download(h);
        for (std::int64_t i = 0; i < B * H; ++i) {
          at(to.h, i) = at(states, from.lengths[static_cast<std::size_t>(i / H)] * B * H + i);
        }
        to.c = download(c);
        return to;
      };
      Ids all;
      for (std::int32_t i = 0; i < B * T; ++i) all.push_back(static_cast<std::int32_t>(i * 5 % kRows));
      const Rows expected = forward(rows, all, T, false);
      Rows state = rows;
      for (std::int64_t t = 0; t < T; ++t) {
        Ids row_of;
        for (std::int64_t b = 0; b < B; ++b) {
          row_of.push_back(all[static_cast<std::size_t>(b * T + t)]);
          state.lengths[static_cast<std::size_t>(b)] = t < kLengths[static_cast<std::size_t>(b)] ? 1 : 0;
        }
        Rows before = state;
        state = forward(before, row_of, 1, true);
        for (std::int64_t i = 0; i < std::ssize(state.c); ++i) {
          const bool ended = before.lengths[static_cast<std::size_t>(i / H)] == 0;
          EXPECT_TRUE(!ended || at(state.c, i) == at(before.c, i)) << "step " << t << " c " << i;
        }
      }
      EXPECT_NE(expected.h, rows.h);
      expect_near(state.h, expected.h, GetParam().tolerances.forward);
    }
  }
}

/// With its projection, the way back from a state is the CPU's.
TEST_P(DeviceState, IsWhereGradientsOfALayerEnd) {
  constexpr std::int64_t E = 7, kWords = 9;
  const auto gradients = [&](const CellTraits& cell) {
    const std::int64_t GH = cell.gates * H, b_hh_size = cell.recurrent_bias ? H : 0;
    Ids words;
    for (std::int32_t i = 0; i < B * T; ++i) words.push_back(i * 5 % kWords);
    Values weights = numbers(GH * H, 4), states = whole(cell).h;
    for (float& weight : weights) weight *= 5 / static_cast<float>(H);
    states.resize(static_cast<std::size_t>((T + 1) * B * H));
    const auto ids = upload(words), lengths = upload(kLengths);
    const auto table = upload(numbers(kWords * E, 3)), w_ih = upload(numbers(GH * E, 5)), w_hh = upload(weights),
               bias = upload(numbers(GH, 6)), b_hh = upload(numbers(b_hh_size, 7)), c = upload(whole(cell).c),
               last = upload(numbers(B * H, 8));
    const auto ints = [&](std::int64_t count) { return backend_->allocate<std::int32_t>(count); };
    const auto reals = [&](std::int64_t count) { return backend_->allocate<float>(count); };
    auto count = ints(1), tokens = ints(kWords), slot = ints(kWords), row_of = ints(B * T), segment = ints(kWords + 1),
         position = ints(B * T);
    const TokenIndex index{count.span(), tokens.span(), slot.span(), row_of.span(), segment.span(), position.span()};
    auto projected = reals(kWords * GH), h = upload(states), saved = reals(T * B * cell.saved * H),
         d_input = reals(T * B * GH), d_recurrent = reals(cell.recurrent_bias ? T * B * GH : 0),
         d_projected = reals(kWords * GH), d_embedding = reals(kWords * E), d_w_ih = reals(GH * E),
         d_w_hh = reals(GH * H), d_bias = reals(GH), d_b_hh = reals(b_hh_size);
    backend_->run(IndexTokens{.shape = {B, T}, .ids = ids.span(), .lengths = lengths.span(), .index = index});
    backend_->run(ProjectTokens<float>{.count = index.count,
                                       .tokens = index.tokens,
                                       .embedding = table.span(),
                                       .w_ih = w_ih.span(),
                                       .bias = bias.span(),
                                       .projected = projected.span()},
                  RecurrenceForward<float>{.cell = cell.cell,
                                           .shape = {B, T, H},
                                           .lengths = lengths.span(),
                                           .input = {.values = projected.span(), .width = GH, .row_of = index.row_of},
                                           .w_hh = w_hh.span(),
                                           .b_hh = b_hh.span(),
                                           .h = h.span(),
                                           .initial_c = c.span(),
                                           .saved = saved.span()});
    backend_->run(RecurrenceBackward<float>{.cell = cell.cell,
                                            .shape = {B, T, H},
                                            .lengths = lengths.span(),
                                            .h = h.span(),
                                            .saved = saved.span(),
                                            .w_hh = w_hh.span(),
                                            .initial_c = c.span(),
                                            .d_output = {.last = last.span()},
                                            .d_input = d_input.span(),
                                            .d_recurrent = d_recurrent.span(),
                                            .d_w_hh = d_w_hh.span(),
                                            .d_b_hh = d_b_hh.span()},
                  ProjectionGradient<float>{.shape = {B, T},
                                            .index = index,
                                            .d_input = d_input.span(),
                                            .embedding = table.span(),
                                            .w_ih = w_ih.span(),
                                            .d_projected = d_projected.span(),
                                            .d_embedding = d_embedding.span(),
                                            .d_w_ih = d_w_ih.span(),
                                            .d_bias = d_bias.span()});
    return std::vector<Values>{download(d_w_ih), download(d_w_hh), download(d_bias), download(d_b_hh)};
  };
  for (const CellTraits& cell : kCells) {
    SCOPED_TRACE(cell.name);
    H = 20;
    backend_ = make_backend({});
    const std::vector<Values> expected = gradients(cell);
    backend_ = GetParam().make();
    const std::vector<Values> actual = gradients(cell);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expect_near(actual[i], expected[i], GetParam().tolerances.gradient);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceState, testing::ValuesIn(all_devices()),
                         [](const auto& device) { return device.param.name; });

}  // namespace
}  // namespace reel::test
