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

/// The first hundred allocations of a reader, and then some of all. (Not of readers of JSON: nlohmann's values need
/// memory to be destroyed.)
TEST_P(Memory, MayRunOutAtAnyAllocation) {
  const TemporaryFolder folder;
  folder.write("d.csv", "text,label\n\"good, film\",1\nbad,0\ngood,1\nbad film,0\nwarm joy,1\n");
  const std::string name = GetParam();
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
INSTANTIATE_TEST_SUITE_P(Readers, Memory, testing::Values("aclImdb.tar.gz", "imdb.npz", "protocol5.npz", "d.csv"));

}  // namespace
}  // namespace reel
