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
  config.validation = ValidationRows::kLast;
  const Corpus corpus = generate_corpus(40, 10);
  const std::vector<std::int32_t> labels = corpus.train.labels;
  EXPECT_EQ(labels.size(), 40u);
  EXPECT_EQ(corpus.test.size(), 10);
  const TrainingData data = make_training_data(corpus, config);
  EXPECT_EQ(data.train.labels, std::vector(labels.begin(), labels.begin() + 30));
  EXPECT_EQ(data.validation.labels, std::vector(labels.begin() + 30, labels.end()));
  EXPECT_EQ(data.test.size(), 10);
}

/// Three classes of 8, 5 and 1 rows: of each the last ones, and one that is alone trains; what is left over of a
/// quarter goes to the class that has most of it.
TEST(TrainingData, ValidationHasTheSameShareOfEachClass) {
  TrainConfig config;
  config.validation_split = 0.25;
  Corpus corpus = generate_corpus(14, 10);
  corpus.labels.names = {"a", "b", "c"};
  corpus.train.labels = {0, 1, 0, 0, 1, 2, 0, 0, 1, 0, 1, 0, 1, 0};
  const TrainingData data = make_training_data(corpus, config);
  EXPECT_EQ(data.train.labels, (std::vector<std::int32_t>{0, 1, 0, 0, 1, 2, 0, 0, 1, 0}));
  EXPECT_EQ(data.validation.labels, (std::vector<std::int32_t>{1, 0, 1, 0})) << "a quarter of 14, 2 and 1 and one more";
  EXPECT_EQ(data.validation.ids.size(), 4u * 200);
}

/// What a regression is trained towards has the mean 0 and the mean square 1; what it is tested on stays.
TEST(TrainingData, NumbersToFindAreStandardised) {
  Corpus corpus = generate_corpus(4, 2);
  corpus.labels = {.task = Task::kRegression, .names = {}};
  corpus.train.targets = {.begin = {0, 1, 2, 3, 4}, .columns = {0, 0, 0, 0}, .values = {1, 3, 5, 7}};
  corpus.test.targets = {.begin = {0, 1, 2}, .columns = {0, 0}, .values = {2, 9}};
  const TrainingData data = make_training_data(corpus, {});
  EXPECT_EQ(data.readout.mean, 4);
  EXPECT_DOUBLE_EQ(data.readout.scale, std::sqrt(5.0));
  EXPECT_FLOAT_EQ(data.train.targets.values[0], -3 / std::sqrt(5.0f));
  EXPECT_EQ(data.test.targets.values, (std::vector<float>{2, 9}));
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
