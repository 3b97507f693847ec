#include "host/text/tokenizer.h"

#include <vector>

#include "tests/support/support.h"

namespace reel {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for_each_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

std::int64_t replaced_in(std::string_view text) {
  return for_each_word(text, [](std::string_view) {});
}

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Tokenizer, LowersAndSplitsAsKerasDoes) {
  EXPECT_THAT(words_of("A warm, funny film.<br />I loved it!"),
              ElementsAre("a", "warm", "funny", "film", "br", "i", "loved", "it"));
  EXPECT_THAT(words_of("it's 'quoted' well-known\tand\nnew"),
              ElementsAre("it's", "'quoted'", "well", "known", "and", "new"));
  EXPECT_THAT(words_of("a!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~b"), ElementsAre("a", "b"));
  EXPECT_THAT(words_of("  \t\n "), IsEmpty());
  EXPECT_THAT(words_of(""), IsEmpty());
}

TEST(Tokenizer, LowersLettersBeyondAscii) {
  EXPECT_THAT(words_of("ÉTÉ Ωmega ДА ß"), ElementsAre("été", "ωmega", "да", "ß"));
  EXPECT_THAT(words_of("\u212Aelvin"), ElementsAre("kelvin")) << "its small letter is ASCII";
  EXPECT_THAT(words_of("\U00010400 \U0001F600"), ElementsAre("\U00010428", "\U0001F600")) << "of four bytes";
}

TEST(Tokenizer, KeepsOtherCharacters) {
  // A carriage return and a no-break space are no separators for Keras.
  EXPECT_THAT(words_of("a\rb c\xC2\xA0"
                       "d"),
              ElementsAre("a\rb",
                          "c\xC2\xA0"
                          "d"));
}

// Python: bytes.decode("utf-8", errors="replace") of the same bytes.
TEST(Tokenizer, ReplacesInvalidUtf8AsPythonDoes) {
  EXPECT_THAT(words_of("a\xFF"
                       "b"),
              ElementsAre("a\uFFFD"
                          "b"));
  EXPECT_EQ(replaced_in("\xFF\xFE"), 2);
  EXPECT_EQ(replaced_in("\xE2\x82"), 1) << "a cut sequence counts once";
  EXPECT_EQ(replaced_in("\xE2\x82 x"), 1);
  EXPECT_EQ(replaced_in("\xC0\x80"), 2) << "overlong";
  EXPECT_EQ(replaced_in("\xED\xA0\x80"), 3) << "a surrogate";
  EXPECT_EQ(replaced_in("\xF4\x90\x80\x80"), 4) << "beyond U+10FFFF";
  EXPECT_EQ(replaced_in("\xF0\x9F\x98\x80 \xE2\x82\xAC é"), 0);
}

TEST(Tokenizer, RepairsUtf8) {
  std::string good = "né", bad = "n\xE9!";
  EXPECT_EQ(repair_utf8(good), 0);
  EXPECT_EQ(good, "né");
  EXPECT_EQ(repair_utf8(bad), 1);
  EXPECT_EQ(bad, "n\uFFFD!");
}

}  // namespace
}  // namespace reel
