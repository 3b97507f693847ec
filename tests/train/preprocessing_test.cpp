#include "host/model/preprocessing.h"

#include "host/train/training_data.h"
#include "tests/support/support.h"

namespace reel {
namespace {

TEST(Preprocessing, SurvivesMetadata) {
  const Preprocessing written{.load = {.num_words = 77, .skip_top = 3, .maxlen = 9, .start_char = -1, .oov_char = 5},
                              .maxlen = 12,
                              .padding = Padding::kPre,
                              .truncating = Truncating::kPost,
                              .mask = false};
  const Preprocessing read = preprocessing_of(to_metadata(written), "m");
  EXPECT_EQ(to_metadata(read), to_metadata(written));
  EXPECT_EQ(read.batch_padding(), Padding::kPre);
  EXPECT_EQ(read.load.num_words, 77);
  EXPECT_EQ(read.load.skip_top, 3);
  EXPECT_EQ(read.load.maxlen, 9);
  EXPECT_EQ(read.load.start_char, -1);
  EXPECT_EQ(read.load.oov_char, 5);
  EXPECT_EQ(read.maxlen, 12);
  EXPECT_EQ(read.truncating, Truncating::kPost);
  EXPECT_EQ(preprocessing_of(to_metadata(Preprocessing{}), "m").truncating, Truncating::kPre);
}

TEST(Preprocessing, WrongMetadataIsNamed) {
  Metadata metadata = to_metadata(Preprocessing{});
  metadata["maxlen"] = "2x";
  expect_error([&] { preprocessing_of(metadata, "m"); }, {"m: metadata 'maxlen' is '2x', expected a whole number"});
  metadata["maxlen"] = "0";
  expect_error([&] { preprocessing_of(metadata, "m"); }, {"expected a whole number from 1 to 100000"});
  for (const auto& [key, least] : std::map<std::string, int>{{"num_words", -1},
                                                             {"skip_top", 0},
                                                             {"drop_longer", -1},
                                                             {"start_char", -1},
                                                             {"oov_char", -1},
                                                             {"index_from", 0}}) {
    metadata = to_metadata(Preprocessing{});
    metadata[key] = std::to_string(least);
    preprocessing_of(metadata, "m");
    metadata[key] = std::to_string(least - 1);
    expect_error([&] { preprocessing_of(metadata, "m"); }, {"metadata '" + key, fmt::format("from {} to ", least)});
  }
  metadata = to_metadata(Preprocessing{});
  metadata["num_words"] = "0";
  expect_error([&] { preprocessing_of(metadata, "m"); }, {"metadata 'num_words' is 0, expected -1 for all words"});
  metadata = to_metadata(Preprocessing{});
  metadata["mask"] = "maybe";
  expect_error([&] { preprocessing_of(metadata, "m"); }, {"metadata 'mask' is 'maybe', expected on or off"});
  metadata.erase("mask");
  expect_error([&] { preprocessing_of(metadata, "m"); }, {"no metadata 'mask'"});
}

TEST(TrainingData, ValidationIsTheLastSamples) {
  TrainConfig config;
  config.validation_split = 0.25;
  const Corpus corpus = generate_corpus(40, 10);
  const std::vector<std::int32_t> labels = corpus.train.labels;
  EXPECT_EQ(labels.size(), 40u);
  EXPECT_EQ(corpus.test.size(), 10);
  const TrainingData data = make_training_data(corpus, config);
  EXPECT_EQ(data.train.labels, std::vector(labels.begin(), labels.begin() + 30));
  EXPECT_EQ(data.validation.labels, std::vector(labels.begin() + 30, labels.end()));
  EXPECT_EQ(data.test.size(), 10);
}

TEST(TrainingData, AnEmptySplitIsAnError) {
  TrainConfig config;
  config.preprocessing.load.maxlen = 2;  // drops every review
  expect_error([&] { make_training_data(generate_corpus(40, 10), config); }, {"no training reviews are left"});
}

TEST(PaddingCheck, WarnsAndNamesTheFlagWhenUnmasked) {
  const Dataset data{.steps = 10, .ids = std::vector<std::int32_t>(30), .lengths = {10, 4, 2}, .labels = {0, 1, 0}};
  const PaddingCheck masked = check_padding(data, {}, Pool::kLast);
  EXPECT_FALSE(masked.warning);
  EXPECT_THAT(masked.line, testing::HasSubstr("66.7 % of the rows end in padding, median 6 of 10 steps"));
  const PaddingCheck unmasked = check_padding(data, {.mask = false}, Pool::kLast);
  EXPECT_TRUE(unmasked.warning);
  EXPECT_THAT(unmasked.line, testing::AllOf(testing::HasSubstr("--mask on"), testing::HasSubstr("the last state")));
  const PaddingCheck pooled = check_padding(data, {.mask = false}, Pool::kMean);
  EXPECT_TRUE(pooled.warning);
  EXPECT_THAT(pooled.line,
              testing::AllOf(testing::HasSubstr("--mask on"), testing::Not(testing::HasSubstr("last state"))));
  const Dataset full{.steps = 1, .ids = {1}, .lengths = {1}, .labels = {0}};
  EXPECT_FALSE(check_padding(full, {.mask = false}, Pool::kLast).warning);
}

}  // namespace
}  // namespace reel
