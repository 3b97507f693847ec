#include "host/text/dataset.h"

#include <numeric>

#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// One review for each list of ranks; labels alternate.
Reviews reviews_of(const std::vector<std::vector<std::int32_t>>& lists) {
  Reviews reviews;
  for (const auto& list : lists) {
    reviews.ranks.insert(reviews.ranks.end(), list.begin(), list.end());
    reviews.begin.push_back(static_cast<std::int64_t>(reviews.ranks.size()));
    reviews.labels.push_back(static_cast<std::int32_t>(reviews.labels.size() % 2));
  }
  return reviews;
}

std::vector<std::int32_t> encode_one(const std::vector<std::int32_t>& ranks, const LoadOptions& options) {
  std::vector<std::int32_t> ids;
  EXPECT_TRUE(encode_ranks(ranks, options, ids));
  return ids;
}

// keras.datasets.imdb.load_data's documentation and source, step by step.
TEST(LoadData, HasKerasMeanings) {
  const std::vector<std::int32_t> ranks = {1, 5, 7, 2};
  EXPECT_THAT(encode_one(ranks, {}), ElementsAre(1, 4, 8, 10, 5));
  EXPECT_THAT(encode_one(ranks, {.num_words = 9}), ElementsAre(1, 4, 8, 2, 5)) << "num_words tests shifted ids";
  EXPECT_THAT(encode_one(ranks, {.skip_top = 5}), ElementsAre(2, 2, 8, 10, 5)) << "skip_top takes the start token too";
  EXPECT_THAT(encode_one(ranks, {.num_words = 9, .oov_char = -1}), ElementsAre(1, 4, 8, 5)) << "None deletes";
  EXPECT_THAT(encode_one(ranks, {.start_char = -1, .index_from = 0}), ElementsAre(1, 5, 7, 2));
  EXPECT_THAT(encode_one({0, 1}, {}), ElementsAre(1, 2, 4)) << "a word without a rank is unknown";
  EXPECT_THAT(encode_one({}, {}), ElementsAre(1));
}

TEST(LoadData, MaxlenDropsFromThatLengthOnStartTokenIncluded) {
  const Dataset kept = make_dataset(reviews_of({{1, 2}, {1, 2, 3}, {1}}), {.maxlen = 4}, 4, Truncating::kPre);
  EXPECT_THAT(kept.ids, ElementsAre(1, 4, 5, 0, 1, 4, 0, 0));
  EXPECT_THAT(kept.labels, ElementsAre(0, 0)) << "the labels of the reviews that stay";
}

TEST(PadSequences, HasKerasMeanings) {
  const std::vector<std::vector<std::int32_t>> sequences = {{1}, {2, 3}, {4, 5, 6}, {}};
  EXPECT_THAT(pad_sequences(sequences), ElementsAre(0, 0, 1, 0, 2, 3, 4, 5, 6, 0, 0, 0));
  EXPECT_THAT(pad_sequences(sequences, 2), ElementsAre(0, 1, 2, 3, 5, 6, 0, 0));
  EXPECT_THAT(pad_sequences(sequences, 2, Padding::kPost, Truncating::kPost), ElementsAre(1, 0, 2, 3, 4, 5, 0, 0));
  EXPECT_THAT(pad_sequences(sequences, 2, Padding::kPost, Truncating::kPre, 9), ElementsAre(1, 9, 2, 3, 5, 6, 9, 9));
  EXPECT_THAT(pad_sequences(sequences, 0), IsEmpty());
}

TEST(Dataset, IsLoadDataThenTruncation) {
  const Reviews reviews = reviews_of({{1, 2, 3, 4, 5}, {6}, {}});
  const Dataset pre = make_dataset(reviews, {}, 4, Truncating::kPre);
  EXPECT_THAT(pre.ids, ElementsAre(5, 6, 7, 8, 1, 9, 0, 0, 1, 0, 0, 0)) << "the start token of a long review is lost";
  EXPECT_THAT(pre.lengths, ElementsAre(4, 2, 1));
  EXPECT_THAT(pre.labels, ElementsAre(0, 1, 0));
  const Dataset post = make_dataset(reviews, {.num_words = 9}, 4, Truncating::kPost);
  EXPECT_THAT(post.ids, ElementsAre(1, 4, 5, 6, 1, 2, 0, 0, 1, 0, 0, 0));
}

/// Rows are held with their padding: a stranger's maxlen must not fill the memory.
TEST(Dataset, MoreStepsThanFitAreRefused) {
  const Reviews many{.begin = std::vector<std::int64_t>(20'001), .labels = std::vector<std::int32_t>(20'000)};
  expect_error([&] { make_dataset(many, {}, 100'000, Truncating::kPre); },
               {"20000 reviews of 100000 steps each, expected at most 1073741824 steps together"});
  EXPECT_EQ(longest_review(reviews_of({{1, 2, 3}, {1}, {}, {1, 2}})), 3);
  EXPECT_EQ(longest_review(reviews_of({})), 0);
}

TEST(Dataset, SlicesAndMeasuresPadding) {
  const Dataset all = make_dataset(reviews_of({{1, 2, 3}, {1}, {}, {1, 2}}), {.start_char = -1}, 3, Truncating::kPre);
  const Dataset part = slice(all, 1, 3);
  EXPECT_THAT(part.lengths, ElementsAre(1, 0));
  EXPECT_THAT(part.ids, ElementsAre(4, 0, 0, 0, 0, 0));
  const PaddingReport report = measure_padding(all);
  EXPECT_EQ(report.padded_share, 0.75);
  EXPECT_EQ(report.median_padding, 2);
  EXPECT_EQ(measure_padding({}).padded_share, 0);
}

TEST(KnownShare, IsOfTheWordsThatAreKept) {
  const Reviews reviews{.ranks = {1, 1, 99, 99}, .begin = {0, 4}, .labels = {1}};
  LoadOptions options{.num_words = 10};
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 3, Truncating::kPre), 1.0 / 3) << "1 99 99";
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 3, Truncating::kPost), 1.0) << "the start, 1 1";
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 4, Truncating::kPost), 2.0 / 3) << "the start, 1 1 99";
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 200, Truncating::kPost), 0.5);
  std::vector<std::int64_t> counts(10, 0);  // id 4 has a row, but nobody trained it
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 200, Truncating::kPost, counts), 0.0);
  counts[4] = 1;
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 200, Truncating::kPost, counts), 0.5);
  options.start_char = 0;
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 3, Truncating::kPost), 1.0) << "0 is a start too";
  options.start_char = -1;
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 3, Truncating::kPost), 2.0 / 3) << "1 1 99";
  options.oov_char = -1;
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 2, Truncating::kPost), 0.5) << "unknown words leave no id";
  options.maxlen = 4;
  EXPECT_DOUBLE_EQ(known_share(reviews, options, 2, Truncating::kPost), 1.0) << "dropped: none is left";
}

// numpy.random.RandomState(113): a = arange(10); shuffle(a); b = arange(4); shuffle(b).
TEST(KerasShuffle, IsNumpysLegacyShuffle) {
  Corpus corpus;
  std::vector<std::vector<std::int32_t>> train(10), test(4);
  for (std::size_t i = 0; i < 10; ++i) train[i] = {static_cast<std::int32_t>(i)};
  for (std::size_t i = 0; i < 4; ++i) test[i] = {static_cast<std::int32_t>(i)};
  corpus.train = reviews_of(train);
  corpus.test = reviews_of(test);
  keras_shuffle(corpus);
  EXPECT_THAT(corpus.train.ranks, ElementsAre(9, 3, 6, 1, 0, 7, 4, 8, 2, 5));
  EXPECT_THAT(corpus.train.labels, ElementsAre(1, 1, 0, 1, 0, 1, 0, 0, 0, 1)) << "labels go with their reviews";
  EXPECT_THAT(corpus.test.ranks, ElementsAre(1, 3, 0, 2));
}

// The same with arange(25000) twice: first, last, and first of the second.
TEST(KerasShuffle, AtTheSizeOfImdb) {
  std::vector<std::vector<std::int32_t>> numbers(25000);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = {static_cast<std::int32_t>(i)};
  Corpus corpus;
  corpus.train = corpus.test = reviews_of(numbers);
  keras_shuffle(corpus);
  const auto& ranks = corpus.train.ranks;
  EXPECT_THAT(std::vector(ranks.begin(), ranks.begin() + 5), ElementsAre(7798, 13226, 18078, 793, 17499));
  EXPECT_THAT(std::vector(ranks.end() - 3, ranks.end()), ElementsAre(22690, 4828, 14501));
  EXPECT_THAT(std::vector(corpus.test.ranks.begin(), corpus.test.ranks.begin() + 5),
              ElementsAre(22748, 4083, 8015, 13688, 5310));
}

}  // namespace
}  // namespace reel
