// Selecting rows and indexing tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "kernels/check.h"
#include "kernels/make_backend.h"
#include "tests/kernels/problem.h"

namespace reel::test {
namespace {

using testing::ElementsAre;
using Ids = std::vector<std::int32_t>;

struct Selected {
  Ids ids, lengths, by_length, labels;
};

// Three reviews of up to four tokens; the middle one is empty.
Selected select(Ids rows, Padding padding, float word_dropout = 0, std::uint64_t step = 0, std::int32_t length = 3) {
  const Ids data_ids = {11, 12, 13, 0, 0, 0, 0, 0, 31, 32, 33, 34}, data_labels = {1, 0, 1};
  const Ids data_lengths = {length, 0, 4};
  const auto backend = make_cpu_backend<float>(2);
  Selected out{Ids(rows.size() * 4, -7), Ids(rows.size()), Ids(rows.size()), Ids(rows.size())};
  backend->run(SelectRows{.shape = {.batch = static_cast<std::int64_t>(rows.size()), .steps = 4},
                          .data_ids = data_ids,
                          .data_lengths = data_lengths,
                          .data_labels = data_labels,
                          .rows = rows,
                          .padding = padding,
                          .word_dropout = word_dropout,
                          .word_dropout_key = {.seed = 3, .stream = RandomStream::kWordDropout, .step = step},
                          .ids = out.ids,
                          .lengths = out.lengths,
                          .by_length = out.by_length,
                          .labels = out.labels});
  return out;
}

TEST(SelectRows, MaskedRowsKeepTheirLength) {
  const Selected s = select({2, 0, 1}, Padding::kNone);
  EXPECT_THAT(s.lengths, ElementsAre(4, 3, 0));
  EXPECT_THAT(s.labels, ElementsAre(1, 1, 0));
  EXPECT_THAT(Ids(s.ids.begin(), s.ids.begin() + 7), ElementsAre(31, 32, 33, 34, 11, 12, 13));
}

TEST(SelectRows, OrdersRowsByTheirLength) {
  EXPECT_THAT(select({1, 0, 2, 0, 1}, Padding::kNone).by_length, ElementsAre(2, 1, 3, 0, 4));
  EXPECT_THAT(select({1, 0, 2}, Padding::kPre).by_length, ElementsAre(0, 1, 2)) << "all as long as the steps";
}

TEST(SelectRows, PostPadding) {
  const Selected s = select({0, 1}, Padding::kPost);
  EXPECT_THAT(s.lengths, ElementsAre(4, 4));
  EXPECT_THAT(s.ids, ElementsAre(11, 12, 13, 0, 0, 0, 0, 0));
}

TEST(SelectRows, PrePadding) { EXPECT_THAT(select({0, 1}, Padding::kPre).ids, ElementsAre(0, 11, 12, 13, 0, 0, 0, 0)); }

TEST(SelectRows, WordDropoutFollowsItsKeyAndSparesPadding) {
  const RandomKey key{.seed = 3, .stream = RandomStream::kWordDropout, .step = 5};
  Ids expected = {11, 12, 13, 0};
  for (std::size_t i = 0; i < 3; ++i) {
    if (random_uniform(key, i) < 0.5f) expected[i] = 2;
  }
  EXPECT_EQ(select({0}, Padding::kPost, 0.5f, 5).ids, expected);
  EXPECT_THAT(select({0}, Padding::kPre, 1.0f).ids, ElementsAre(0, 2, 2, 2));
}

TEST(SelectRows, BeginWhereTheClockIsAndStayWithinTheOrder) {
  const auto backend = make_cpu_backend<float>(2);
  const Ids data_ids = {10, 20, 30, 40, 50}, data_lengths(5, 1), order = {4, 3, 2, 1, 0};
  std::vector<StepClock> clock = {{}, {.step = 7, .row = 1, .slot = 1}};
  Ids ids(2), lengths(2);
  const auto run = [&] {
    backend->run(BeginStep{.clock = clock, .rows = 2, .slots = 3});
    backend->run(SelectRows{.shape = {.batch = 2, .steps = 1},
                            .data_ids = data_ids,
                            .data_lengths = data_lengths,
                            .rows = order,
                            .clock = clock.data(),
                            .ids = ids,
                            .lengths = lengths});
    return ids;
  };
  EXPECT_THAT(run(), ElementsAre(40, 30));
  EXPECT_THAT((std::vector{clock[0].step, clock[0].slot}), ElementsAre(7, 1));
  EXPECT_THAT(run(), ElementsAre(20, 10));
  EXPECT_THAT((std::vector{clock[0].step, clock[0].slot}), ElementsAre(8, 2));
  EXPECT_THAT(run(), ElementsAre(20, 10)) << "beyond the order";
  EXPECT_THAT((std::vector{clock[0].step, clock[0].slot}), ElementsAre(9, 0));
}

TEST(SelectRows, TargetsAreZeroButForTheirEntries) {
  const Ids data_ids(3 * 4), data_lengths = {1, 1, 1}, begin = {0, 2, 2, 5}, rows = {2, 1, 0, 2};
  Ids columns = {1, 0, 2, 0, 2};
  const std::vector<float> values = {0.5f, -1, 3, 4, 5}, data_weights = {0.25f, 2, 0};
  const auto backend = make_cpu_backend<float>(2);
  Ids ids(4 * 4), lengths(4);
  std::vector<float> targets(4 * 3, 7.0f), weights(4, 7.0f);
  const auto run = [&] {
    backend->run(SelectRows{.shape = {.batch = 4, .steps = 4},
                            .data_ids = data_ids,
                            .data_lengths = data_lengths,
                            .data_targets = {begin, columns, values},
                            .data_weights = data_weights,
                            .rows = rows,
                            .ids = ids,
                            .lengths = lengths,
                            .targets = targets,
                            .weights = weights});
  };
  run();
  EXPECT_THAT(targets, ElementsAre(4, 0, 5, 0, 0, 0, -1, 0.5f, 0, 4, 0, 5)) << "the last of a column counts";
  EXPECT_THAT(weights, ElementsAre(0, 2, 0.25f, 0));
  for (const std::int32_t column : {3, -1}) {
    columns[0] = column;
    EXPECT_THROW(run(), ContractError) << column;
  }
}

TEST(SelectRows, ARowLongerThanTheStepsIsRefused) { EXPECT_THROW(select({0}, Padding::kNone, 0, 0, 5), ContractError); }

TEST(SelectRows, RowOutsideTheDataSetIsRefused) { EXPECT_THROW(select({3}, Padding::kNone), ContractError); }

TEST(Recurrence, AnInputThatIsNotThereIsRefused) {
  const auto backend = make_cpu_backend<float>(1);
  const std::vector<float> projected = {1, 2}, w_hh = {0};
  std::vector<float> h(3);
  const Ids lengths = {2};
  for (const std::int32_t row : {-1, 2, std::numeric_limits<std::int32_t>::min()}) {
    const Ids rows = {0, row};
    try {
      backend->run(RecurrenceForward<float>{.shape = {.batch = 1, .steps = 2, .hidden = 1},
                                            .lengths = lengths,
                                            .input = {.values = projected, .width = 1, .row_of = rows},
                                            .w_hh = w_hh,
                                            .h = h});
      ADD_FAILURE() << row;
    } catch (const ContractError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("row 0[1] is ")) << "row b at step t";
    }
  }
}

struct Index {
  Ids count = Ids(1), tokens, slot, row_of, segment, position;
  explicit Index(std::size_t vocabulary, std::size_t positions)
      : tokens(std::min(vocabulary, positions)),
        slot(vocabulary),
        row_of(positions),
        segment(tokens.size() + 1),
        position(positions) {}
  TokenIndex view() { return {count, tokens, slot, row_of, segment, position}; }
};

void expect_consistent(const Problem& p, const Index& index) {
  const auto B = static_cast<std::size_t>(p.shape.batch), T = static_cast<std::size_t>(p.shape.steps);
  std::size_t total = 0;
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(p.lengths[b]); ++t, ++total) {
      const auto u = static_cast<std::size_t>(index.row_of[b * T + t]);
      EXPECT_EQ(index.tokens[u], p.ids[b * T + t]);
      EXPECT_EQ(index.slot[static_cast<std::size_t>(index.tokens[u])], static_cast<std::int32_t>(u));
      const auto begin = index.position.begin() + index.segment[u], end = index.position.begin() + index.segment[u + 1];
      EXPECT_TRUE(std::binary_search(begin, end, static_cast<std::int32_t>(t * B + b)));
      EXPECT_TRUE(std::is_sorted(begin, end));
    }
  }
  EXPECT_EQ(index.segment[static_cast<std::size_t>(index.count[0])], static_cast<std::int32_t>(total));
  EXPECT_EQ(std::count_if(index.slot.begin(), index.slot.end(), [](auto s) { return s >= 0; }), index.count[0]);
}

TEST(IndexTokens, DescribesEachBatchAnew) {
  const auto backend = make_cpu_backend<float>(1);
  Index index(30, 99);
  unsigned seed = 0;
  for (const std::int64_t batch : {9, 2, 9, 1}) {  // a smaller one forgets all of the one before
    const Shape shape{.vocabulary = 30, .embedding = 1, .hidden = 1, .batch = batch, .steps = 11};
    const Problem p = make_problem(shape, Pool::kLast, Cell::kTanh, 0, ++seed);
    const auto positions = static_cast<std::size_t>(batch * 11), rows = std::min<std::size_t>(30, positions);
    TokenIndex view = index.view();
    view.tokens = view.tokens.first(rows);
    view.segment = view.segment.first(rows + 1);
    view.row_of = view.row_of.first(positions);
    view.position = view.position.first(positions);
    backend->run(IndexTokens{.shape = shape.rows(), .ids = p.ids, .lengths = p.lengths, .index = view});
    expect_consistent(p, index);
  }
}

TEST(IndexTokens, BatchOfEmptyRows) {
  const auto backend = make_cpu_backend<float>(1);
  Index index(5, 6);
  const Ids ids(6), lengths = {0, 0};
  backend->run(IndexTokens{.shape = {2, 3}, .ids = ids, .lengths = lengths, .index = index.view()});
  EXPECT_EQ(index.count[0], 0);
  EXPECT_EQ(index.segment[0], 0);
}

TEST(IndexTokens, TokenOutsideTheVocabularyIsRefused) {
  const auto backend = make_cpu_backend<float>(1);
  Index index(5, 2);
  for (const std::int32_t bad : {5, -1}) {
    const Ids ids = {1, bad}, lengths = {2};
    EXPECT_THROW(backend->run(IndexTokens{.shape = {1, 2}, .ids = ids, .lengths = lengths, .index = index.view()}),
                 ContractError);
  }
}

}  // namespace
}  // namespace reel::test
