// Readers for which memory runs out: an exception, and nothing is lost.
#include <cstdlib>
#include <new>

#include "host/text/corpus.h"
#include "tests/support/support.h"

namespace {

/// Allocations until one fails; 0: none does.
thread_local long until_failure = 0;

}  // namespace

void* operator new(std::size_t size) {
  if (until_failure > 0 && --until_failure == 0) throw std::bad_alloc();
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace reel {
namespace {

class Memory : public testing::TestWithParam<const char*> {};

/// The first hundred allocations of a reader, and then some of all.
TEST_P(Memory, MayRunOutAtAnyAllocation) {
  const TemporaryFolder folder;
  folder.write("d.csv", "text,label\n\"good, film\",1\nbad,0\ngood,1\nbad film,0\nwarm joy,1\n");
  folder.write("d.jsonl",
               R"({"text": "good film", "label": 1}
{"text": "bad", "label": "neg"}
{"text": "warm joy", "label": 1, "more": [[{"of": null}], 1e3, 18446744073709551615]})");
  folder.write("d.npz", contents(fixture("imdb.npz")));
  std::string index;
  for (int rank = 1; rank <= 300; ++rank) index += fmt::format("{}\"w{}\": {}", rank == 1 ? "{" : ", ", rank, rank);
  folder.write("imdb_word_index.json", index + "}");
  const std::string name = GetParam();
  if (name == "d.prepared") write_prepared(read_corpus(fixture("aclImdb.tar.gz")), folder / name);
  const auto path = name.starts_with("d.") ? folder / name : fixture(name);
  const std::vector<std::int32_t> expected = read_corpus(path).train.ranks;
  int failures = 0;
  for (long n = 1;; n += n < 100 || deep() ? 1 : 1 + n / 20) {
    until_failure = n;
    try {
      const Corpus corpus = read_corpus(path);
      const bool reached = until_failure == 0;
      until_failure = 0;
      EXPECT_EQ(corpus.train.ranks, expected);
      if (!reached) break;
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    until_failure = 0;
  }
  EXPECT_GT(failures, 10);
}
INSTANTIATE_TEST_SUITE_P(Readers, Memory,
                         testing::Values("aclImdb.tar.gz", "imdb.npz", "protocol5.npz", "d.csv", "d.jsonl", "d.npz",
                                         "d.prepared"));

}  // namespace
}  // namespace reel
