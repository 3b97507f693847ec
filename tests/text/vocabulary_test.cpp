#include "host/text/vocabulary.h"

#include "host/text/corpus_builder.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using testing::ElementsAre;

Corpus small_corpus() {
  CorpusBuilder builder;
  builder.add(Split::kTrain, 1, "b a b c");
  builder.add(Split::kTrain, 0, "a d b");
  builder.add(Split::kTest, 1, "b unseen a");
  return builder.finish("test", "");
}

TEST(CorpusBuilder, RanksByCountThenByFirstAppearance) {
  const Corpus corpus = small_corpus();
  EXPECT_THAT(corpus.words, ElementsAre("b", "a", "c", "d"));
  EXPECT_THAT(corpus.counts, ElementsAre(3, 2, 1, 1));
  EXPECT_THAT(corpus.test.ranks, ElementsAre(1, 5, 2)) << "a word of the test split alone comes last";
  EXPECT_THAT(corpus.test_only_words, ElementsAre("unseen"));
}

TEST(CorpusBuilder, ShufflesOnceAndTheSameWay) {
  CorpusBuilder first, second;
  for (int i = 0; i < 100; ++i) {
    for (CorpusBuilder* builder : {&first, &second}) {
      builder->add(Split::kTrain, i < 50, std::string(static_cast<std::size_t>(i), 'x'));
      builder->add(Split::kTest, i < 50, "y");
    }
  }
  const Corpus a = first.finish("", ""), b = second.finish("", "");
  EXPECT_EQ(a.train.labels, b.train.labels);
  EXPECT_EQ(a.train.ranks, b.train.ranks);
  EXPECT_FALSE(std::ranges::is_sorted(a.train.labels));
  EXPECT_EQ(std::ranges::count(a.train.labels, 1), 50);
}

TEST(CorpusBuilder, ASplitWithoutReviewsIsAnError) {
  CorpusBuilder builder;
  builder.add(Split::kTrain, 1, "a");
  expect_error([&] { builder.finish("source", ""); }, {"source: no test reviews"});
}

TEST(Vocabulary, NumbersAsLoadDataDoes) {
  const Vocabulary vocabulary(small_corpus(), {.num_words = 6});
  EXPECT_EQ(vocabulary.size(), 6);
  EXPECT_EQ(vocabulary.word(0), "<pad>");
  EXPECT_EQ(vocabulary.word(1), "<start>");
  EXPECT_EQ(vocabulary.word(2), "<unk>");
  EXPECT_EQ(vocabulary.word(3), "<reserved-3>");
  EXPECT_EQ(vocabulary.word(4), "b");
  EXPECT_EQ(vocabulary.count(4), 3);
  EXPECT_THAT(vocabulary.encode("B, c! a"), ElementsAre(1, 4, 2, 5)) << "c lies beyond num_words";
  EXPECT_EQ(Vocabulary(small_corpus(), {.num_words = 1000}).size(), 8) << "no more ids than words";
}

TEST(Vocabulary, HoldsTheReservedIdsWhateverTheCorpusHas) {
  EXPECT_EQ(Vocabulary(small_corpus(), {.start_char = 20}).size(), 21);
  EXPECT_EQ(Vocabulary(small_corpus(), {.oov_char = 30}).size(), 31);
  EXPECT_EQ(Vocabulary(small_corpus(), {.num_words = 2}).size(), 3) << "<unk> is 2";
  EXPECT_EQ(Vocabulary(small_corpus(), {.oov_char = 30}).word(30), "<unk>");
}

TEST(Vocabulary, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  const Vocabulary written(small_corpus(), {.num_words = 7});
  written.write(folder / "vocab.txt");
  EXPECT_EQ(contents(folder / "vocab.txt"), "<pad>\t0\n<start>\t0\n<unk>\t0\n<reserved-3>\t0\nb\t3\na\t2\nc\t1\n");
  const Vocabulary read = Vocabulary::read(folder / "vocab.txt", {.num_words = 7});
  EXPECT_EQ(read.size(), 7);
  EXPECT_EQ(read.encode("a b c d"), written.encode("a b c d"));
  for (const char* line : {"b 2", "b\t", "b\t-1", "b\t3x", "b\t3 "}) {
    expect_error([&] { Vocabulary::read(folder.write("v", std::string("a\t1\n") + line + "\n"), {}); },
                 {"v:2: expected word<TAB>count"});
  }
}

/// Names of ids without words are no words; others may begin with '<' too.
TEST(Vocabulary, KnowsWordsFromNames) {
  Corpus corpus = small_corpus();
  corpus.words[0] = "<3";
  const Vocabulary vocabulary(corpus, {});
  EXPECT_EQ(vocabulary.id("<3"), 4);
  for (const char* name : {"<pad>", "<start>", "<unk>", "<reserved-3>", "<rank-1>", ""}) {
    EXPECT_EQ(vocabulary.id(name), -1) << name;
    EXPECT_FALSE(is_word(name)) << name;
  }
}

TEST(Vocabulary, WithoutWordsItCannotEncode) {
  Corpus corpus = small_corpus();
  corpus.words.clear();
  expect_error([&] { Vocabulary(corpus, {}).encode("a"); }, {"ranks but no words"});
}

TEST(Vocabulary, AnotherCorpusIsRenumbered) {
  const Vocabulary vocabulary(small_corpus(), {});
  CorpusBuilder builder;
  builder.add(Split::kTrain, 1, "d new b");
  builder.add(Split::kTest, 1, "new b d");
  Corpus other = builder.finish("other", "");
  adopt_vocabulary(other, vocabulary, "");
  EXPECT_THAT(other.test.ranks, ElementsAre(0, 1, 4));
}

/// Which of two words that occur equally often comes first is another matter in another source.
TEST(Vocabulary, RanksOfAnotherSourceMatchOnlyWithoutTies) {
  const auto ranks = [](const std::string& review, const std::string& checksum) {
    CorpusBuilder builder;
    builder.add(Split::kTrain, 1, review);
    builder.add(Split::kTest, 1, review);
    Corpus corpus = builder.finish("ranks", checksum);
    corpus.words.clear();
    return corpus;
  };
  const auto adopt = [&](const std::string& review, const std::string& checksum, const std::string& trained_on) {
    Corpus other = ranks(review, checksum);
    adopt_vocabulary(other, Vocabulary(ranks(review, "one"), {}), trained_on);
  };
  adopt("a a a b b c", "other", "one");
  adopt("a a a b b c c", "one", "one");
  for (const char* const trained_on : {"one", ""}) {
    expect_error([&] { adopt("a a a b b c c", "other", trained_on); }, {"its words cannot be matched"});
  }
}

/// Ranks of the test split alone would lie where the model's reserved ids do.
TEST(Vocabulary, RanksThatTheModelLacksAreUnknown) {
  Corpus ranks = small_corpus();  // five: 3, 2, 1 and 1 in training, and one of the test split
  ranks.words.clear();
  ranks.source_checksum = "one";
  for (const std::int32_t start : {1, 8, 9, 30}) {
    Corpus other = ranks;
    ASSERT_EQ(other.test.ranks.at(1), 5);
    adopt_vocabulary(other, Vocabulary(small_corpus(), {.start_char = start}), "one");
    EXPECT_THAT(other.test.ranks, ElementsAre(1, 0, 2)) << start;
  }
}

TEST(Vocabulary, HasAnIdForEachWord) {
  const TemporaryFolder folder;
  const auto path = folder.write("vocab.txt", "<pad>\t0\ngood\t2\nbad\t1\ngood\t1\n");
  expect_error([&] { Vocabulary::read(path, {}); }, {"vocab.txt: word 'good' twice, as ids 1 and 3"});
}

}  // namespace
}  // namespace reel
