#include "host/train/progress.h"

#include <gmock/gmock.h>

namespace reel {
namespace {

TEST(Progress, SaysWhereARunStands) {
  const StepReport report{.step = 50,
                          .steps_in_all = 100,
                          .epoch = 1,
                          .epochs = 2,
                          .loss = 0.5,
                          .accuracy = 0.75,
                          .tokens_per_second = 1.5e6,
                          .seconds_left = 61.2};
  EXPECT_EQ(progress_text(report, false),
            "epoch 1/2  step 50/100  loss 0.5000  accuracy 75.0 %  1500 thousand tokens/s  1:02 left");
  for (const auto& [seconds, text] : {std::pair{0.0, "  0:00 left"}, {59.5, "  1:00 left"}, {3725.0, "  62:05 left"}}) {
    EXPECT_THAT(progress_text({.seconds_left = seconds}, false), testing::EndsWith(text));
  }
  EXPECT_THAT(progress_text(report, true), testing::StartsWith("[============            ] epoch"));
}

/// What has been drawn goes before anything else is said.
TEST(Progress, ABarIsDrawnOver) {
  testing::internal::CaptureStdout();
  Progress bar(Progress::Style::kBar);
  bar.show_download(1'000'000, 4'000'000);
  bar.show_download(2'000'000, 4'000'000);
  bar.show_download(5, 0);
  bar.show({.step = 1, .steps_in_all = 1});
  bar.note("note");
  bar.line("line");
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "[======                  ] 1 of 4 MB"
            "\r\x1b[K[============            ] 2 of 4 MB"
            "\r\x1b[K" +
                progress_text({.step = 1, .steps_in_all = 1}, true) + "\r\x1b[Knote\nline\n");
}

TEST(Progress, LinesAndQuietRunsHaveNoBar) {
  const auto said = [](Progress::Style style) {
    testing::internal::CaptureStdout();
    Progress progress(style);
    progress.show_download(1'000'000, 4'000'000);
    progress.show({.step = 1, .steps_in_all = 1});
    progress.note("note");
    progress.line("line");
    return testing::internal::GetCapturedStdout();
  };
  EXPECT_EQ(said(Progress::Style::kLines), progress_text({.step = 1, .steps_in_all = 1}, false) + "\nnote\nline\n");
  EXPECT_EQ(said(Progress::Style::kQuiet), "line\n");
}

}  // namespace
}  // namespace reel
