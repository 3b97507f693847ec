#include <gtest/gtest.h>

#include "host/cli/options.h"

namespace reel {
namespace {

TEST(Timings, AreSharesOfTheRangeAround) {
  const std::string text = to_text({{.name = "epoch", .depth = 0, .calls = 2, .seconds = 8},
                                    {.name = "step", .depth = 1, .calls = 20, .seconds = 4},
                                    {.name = "rnn_forward", .depth = 2, .calls = 20, .seconds = 1},
                                    {.name = "evaluate", .depth = 0, .calls = 1, .seconds = 0.5}});
  EXPECT_EQ(text,
            "range                          calls     seconds     share\n"
            "epoch                              2       8.000          \n"
            "  step                            20       4.000    50.0 %\n"
            "    rnn_forward                   20       1.000    25.0 %\n"
            "evaluate                           1       0.500          \n");
}

}  // namespace
}  // namespace reel
