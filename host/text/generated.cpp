// Reviews made up by rule, for machines without data. Their sentiment cannot be read off the words alone:
//   - the clause after "but" outweighs the one before it, so the order of two adjectives decides;
//   - "not" turns the adjective that follows;
//   - an opening such as "do not believe what they say" turns everything after it, up to a hundred words later.
#include <array>
#include <string_view>

#include "host/text/corpus_builder.h"
#include "kernels/philox.h"

namespace reel {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::array<std::string_view, 16> kGood = {
    "wonderful", "gripping", "brilliant", "charming", "moving",  "superb",  "delightful", "clever",
    "beautiful", "funny",    "excellent", "touching", "perfect", "amazing", "memorable",  "fresh"};
constexpr std::array<std::string_view, 16> kBad = {"awful", "boring", "clumsy",   "terrible", "dull",   "pointless",
                                                   "lazy",  "stupid", "horrible", "tedious",  "forced", "flat",
                                                   "stale", "messy",  "annoying", "painful"};
constexpr std::array<std::string_view, 12> kSubjects = {
    "the story",   "the acting", "the music",   "the ending",    "the dialogue", "the camera work",
    "the costume", "the humour", "the villain", "the lead role", "the pacing",   "the last scene"};
constexpr std::array<std::string_view, 12> kFillers = {"i saw it with my sister on a rainy evening",
                                                       "it runs for about two hours",
                                                       "the director made three films before this one",
                                                       "most of it takes place in a small town by the sea",
                                                       "we had seats in the second row",
                                                       "it was shot in black and white",
                                                       "the book came out ten years earlier",
                                                       "a friend lent me the disc last week",
                                                       "two brothers inherit a farm and meet a stranger",
                                                       "the cast is mostly unknown",
                                                       "there is a long chase in the middle",
                                                       "my neighbour works at the cinema"};
constexpr std::array<std::string_view, 4> kPlainOpenings = {"here is what everyone says about it",
                                                            "listen to what the critics wrote",
                                                            "so i watched this film", "the poster promised a lot"};
constexpr std::array<std::string_view, 4> kNegatingOpenings = {
    "do not believe what everyone says about it", "never trust what the critics wrote",
    "nobody should believe this opinion", "it is not true what they say"};

// Enough plain statements for a beginning, enough twists that words alone do not get far.
constexpr std::uint32_t kNegatedOpeningPercent = 15, kFillerPercent = 40, kPlainPercent = 60, kNegatedPercent = 15;

/// Random choices of one review, each at its own address.
class Dice {
 public:
  explicit Dice(std::uint64_t review) : key_{.stream = RandomStream::kGeneratedReviews, .step = review} {}

  std::uint32_t below(std::uint32_t limit) {
    return static_cast<std::uint32_t>(std::uint64_t{random_bits(key_, position_++)} * limit >> 32);
  }
  bool percent(std::uint32_t share) { return below(100) < share; }
  std::string pick(Words words) { return std::string(words[below(static_cast<std::uint32_t>(words.size()))]); }

 private:
  RandomKey key_;
  std::uint64_t position_ = 0;
};

/// One clause that speaks well or ill of something.
std::string opinion(Dice& dice, bool good) {
  const Words same = good ? Words(kGood) : Words(kBad), opposite = good ? Words(kBad) : Words(kGood);
  const std::string subject = dice.pick(kSubjects);
  const std::uint32_t kind = dice.below(100);
  if (kind < kPlainPercent) return subject + " was " + dice.pick(same);
  if (kind < kPlainPercent + kNegatedPercent) return subject + " was not " + dice.pick(opposite);
  return subject + " seemed " + dice.pick(opposite) + " at first but was " + dice.pick(same);
}

std::string review(Dice& dice, bool good) {
  const bool negated = dice.percent(kNegatedOpeningPercent);
  std::string text = dice.pick(negated ? Words(kNegatingOpenings) : Words(kPlainOpenings)) + " . ";
  const std::uint32_t clauses = 3 + dice.below(6);
  for (std::uint32_t i = 0; i < clauses; ++i) {
    const bool filler = i > 0 && dice.percent(kFillerPercent);
    text += (filler ? dice.pick(kFillers) : opinion(dice, good != negated)) + " . ";
  }
  return text;
}

}  // namespace

Corpus generate_corpus(std::int64_t train, std::int64_t test) {
  CorpusBuilder builder;
  for (std::int64_t i = 0; i < train + test; ++i) {
    Dice dice(static_cast<std::uint64_t>(i));
    const bool good = i % 2 == 0;
    builder.add(i < train ? Split::kTrain : Split::kTest, good ? 1 : 0, review(dice, good));
  }
  return builder.finish("generated reviews", "");
}

}  // namespace reel
