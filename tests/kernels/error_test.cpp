// What a terminal is shown of strangers' text.
#include "kernels/error.h"

#include <gtest/gtest.h>

namespace reel {
namespace {

TEST(Printable, HasNoControlCharacters) {
  EXPECT_EQ(printable("a\nb\tc\x1b[2J\x7f"), "a?b?c?[2J?");
  EXPECT_EQ(printable("\xC2\x9b"
                      "2J"),
            "??2J")
      << "CSI in UTF-8";
  EXPECT_EQ(printable("\x9b"
                      "2J \xC3\x9b"),
            "?2J \xC3\x9b")
      << "CSI as a byte; the same byte within a character";
  EXPECT_EQ(printable("\xE2\x80\x99 \xF0\x9F\x98\x80 \x80"), "\xE2\x80\x99 \xF0\x9F\x98\x80 ?");
  EXPECT_EQ(printable("\xE2\x80 \x99"), "\xE2\x80 ?") << "a character that is cut off lends nothing";
}

TEST(Printable, IsCutAtAThousandBytes) {
  EXPECT_EQ(printable(std::string(1000, 'a')), std::string(1000, 'a'));
  EXPECT_EQ(printable(std::string(1001, 'a')), std::string(1000, 'a') + "...");
}

}  // namespace
}  // namespace reel
