#include "host/predict/trained_model.h"

#include <gtest/gtest.h>

namespace reel {
namespace {

/// 32 million states: 128 MB, and as much of what else has their size.
TEST(TrainedModel, TakesFewerRowsWhereTheirStatesAreMany) {
  TrainedModel model;
  model.saved.config.hidden = 128;
  EXPECT_EQ(rows_at_once(model, 64, 200), 64);
  EXPECT_EQ(rows_at_once(model, 64, 100'000), 2);
  model.saved.config.hidden = 1024;
  EXPECT_EQ(rows_at_once(model, 65536, 200), 163);
  EXPECT_EQ(rows_at_once(model, 64, 100'000), 1);
  model.saved.config.cell = Cell::kLstm;  // of which a layer holds ten numbers a state, of tanh's two
  EXPECT_EQ(rows_at_once(model, 65536, 200), 32);
  model.saved.config.layers = 2;  // 12 states and saved numbers, 8 of gates, and 2 between
  EXPECT_EQ(rows_at_once(model, 65536, 200), 14);
  model.saved.config.bidirectional = true;  // twice as many of everything
  EXPECT_EQ(rows_at_once(model, 65536, 200), 7);
}

}  // namespace
}  // namespace reel
