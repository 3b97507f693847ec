#include "host/train/training_state.h"

#include <gtest/gtest.h>

namespace reel {
namespace {

TEST(Cursor, SurvivesMetadata) {
  const Cursor written{.config = "lr = 1\n",
                       .data_checksum = "c",
                       .step = 7,
                       .epochs_done = 2,
                       .best_epoch = 1,
                       .epochs_without_gain = 1,
                       .best_accuracy = 0.75,
                       .best_test = Evaluation{.true_positive = 1,
                                               .false_positive = 2,
                                               .true_negative = 3,
                                               .false_negative = 4,
                                               .loss = 0.5,
                                               .seconds = 1.5,
                                               .tokens = 60},
                       .epoch_seconds = {1, 2},
                       .measured_reviews = 5,
                       .measured_tokens = 6,
                       .measured_seconds = 0.25};
  const Cursor read = cursor_of(to_metadata(written), "state");
  EXPECT_EQ(to_metadata(read), to_metadata(written)) << "every number by its own name";
  EXPECT_EQ(read.best_test->true_positive, 1);
  EXPECT_EQ(read.best_test->false_positive, 2);
  EXPECT_EQ(read.best_test->true_negative, 3);
  EXPECT_EQ(read.best_test->false_negative, 4);
  EXPECT_EQ(read.best_test->loss, 0.5);
  EXPECT_EQ(read.best_test->tokens, 60);
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

}  // namespace
}  // namespace reel
