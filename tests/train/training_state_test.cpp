#include "host/train/training_state.h"

#include <gtest/gtest.h>

namespace reel {
namespace {

TEST(Cursor, SurvivesMetadata) {
  const Cursor written{
      .config = "lr = 1\n",
      .data_checksum = "c",
      .step = 7,
      .epochs_done = 2,
      .best_epoch = 1,
      .epochs_without_gain = 1,
      .best_score = 0.75,
      .best_test = Scores{.reviews = 10, .loss = 0.5, .accuracy = 0.4, .macro_f1 = 0.375, .seconds = 1.5, .tokens = 60},
      .epoch_seconds = {1, 2},
      .measured_reviews = 5,
      .measured_tokens = 6,
      .measured_seconds = 0.25};
  const Cursor read = cursor_of(to_metadata(written), "state");
  EXPECT_EQ(to_metadata(read), to_metadata(written)) << "every number by its own name";
  EXPECT_EQ(read.best_test, written.best_test);
  EXPECT_EQ(read.best_score, 0.75);
  EXPECT_EQ(read.measured_tokens, 6);
}

TEST(Cursor, OfBeforeKnowsOfNoUnfinishedWindow) {
  const Metadata before = {{"cursor", R"({"data_checksum": "c", "step": 7, "epochs_done": 1, "best_epoch": 1,
      "epochs_without_gain": 0, "best_accuracy": 0.5, "epoch_seconds": [1.5]})"}};
  const Cursor cursor = cursor_of(before, "state");
  EXPECT_EQ(cursor.step, 7);
  EXPECT_EQ(cursor.config, "");
  EXPECT_EQ(cursor.measured_reviews, 0);
  EXPECT_EQ(cursor.measured_tokens, 0);
  EXPECT_EQ(cursor.measured_seconds, 0);
}

/// 0.1.0 knew two classes and accuracies alone.
TEST(Cursor, OfBeforeCountedTwoClasses) {
  const Metadata before = {{"cursor", R"({"data_checksum": "c", "step": 7, "epochs_done": 1, "best_epoch": 1,
      "epochs_without_gain": 0, "best_accuracy": 0.5, "epoch_seconds": [1.5],
      "best_test": {"tp": 1, "fp": 2, "tn": 3, "fn": 4, "loss": 0.5, "seconds": 1.5, "tokens": 60}})"}};
  const Cursor cursor = cursor_of(before, "state");
  EXPECT_EQ(cursor.best_score, 0.5);
  ASSERT_TRUE(cursor.best_test);
  EXPECT_EQ(cursor.best_test->reviews, 10);
  EXPECT_DOUBLE_EQ(*cursor.best_test->accuracy, 0.4);
  EXPECT_DOUBLE_EQ(*cursor.best_test->macro_f1, (2.0 / 8 + 6.0 / 12) / 2);
  EXPECT_EQ(cursor.best_test->tokens, 60);
}

}  // namespace
}  // namespace reel
