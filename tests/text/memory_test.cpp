// Readers for which memory runs out: an exception, and nothing is lost.
#include <cstdlib>
#include <new>

#include "host/files/safetensors.h"
#include "host/files/toml.h"
#include "host/text/corpus.h"
#include "host/text/ids.h"
#include "host/text/vocabulary.h"
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
void* operator new(std::size_t size, const std::nothrow_t&) noexcept try {
  return operator new(size);
} catch (const std::bad_alloc&) {
  return nullptr;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace reel {
namespace {

/// Reads with the first hundred allocations failing in turn, and then some of all; `read` throws or gives the same as
/// with all the memory. How many failed.
template <class Read>
int fail_allocations(const Read& read) {
  const auto expected = read();
  int failures = 0;
  for (long n = 1;; n += n < 100 || deep() ? 1 : 1 + n / 20) {
    until_failure = n;
    try {
      const auto found = read();
      const bool reached = until_failure == 0;
      until_failure = 0;
      EXPECT_EQ(found, expected);
      if (!reached) return failures;
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    until_failure = 0;
  }
}

class Memory : public testing::TestWithParam<const char*> {};

TEST_P(Memory, MayRunOutAtAnyAllocation) {
  const TemporaryFolder folder;
  folder.write("d.csv", "text,label\n\"good, film\",1\nbad,0\ngood,1\nbad film,0\nwarm joy,1\n");
  folder.write("d.jsonl",
               R"({"text": "good film", "label": 1}
{"text": "bad", "label": "neg"}
{"text": "warm joy", "label": 1, "more": [[{"of": null}], 1e3, 18446744073709551615]})");
  folder.write("d.tsv", "text\tlabel\ngood\ta;b\nbad film\tc\nwarm joy\ta\n");
  folder.write("d.txt", "__label__one good film\n__label__two bad\n__label__two warm joy\n");
  folder.write("d.folders/one/1.txt", "good film");
  folder.write("d.folders/two/1.txt", "bad");
  folder.write("d.npz", contents(fixture("imdb.npz")));
  std::string index;
  for (int rank = 1; rank <= 300; ++rank) index += fmt::format("{}\"w{}\": {}", rank == 1 ? "{" : ", ", rank, rank);
  folder.write("imdb_word_index.json", index + "}");
  const std::string name = GetParam();
  if (name == "d.prepared") write_prepared(read_corpus(fixture("aclImdb.tar.gz")), folder / name);
  const auto path = name.starts_with("d.") ? folder / name : fixture(name);
  EXPECT_GT(fail_allocations([&] { return read_corpus(path).train.ranks; }), 10);
}
INSTANTIATE_TEST_SUITE_P(Readers, Memory,
                         testing::Values("aclImdb.tar.gz", "imdb.npz", "protocol5.npz", "d.csv", "d.jsonl", "d.tsv",
                                         "d.txt", "d.folders", "d.npz", "d.prepared"));

TEST(MemoryOf, ConfigurationsIdsWeightsAndVocabularies) {
  const TemporaryFolder folder;
  EXPECT_GT(fail_allocations([&] { return parse_toml("data = 'set of words'\nepochs = 3\n", "c.toml"); }), 5);
  EXPECT_GT(fail_allocations([&] { return parse_ids(R"({"ids": [1, 2, 3, 4, 5]})", 10, "input 1"); }), 5);
  const std::vector<float> weights(12, 0.5f);
  write_safetensors(folder / "m", {{"a", tensor_view(std::span(weights), {3, 4})}}, {{"some", "metadata"}});
  EXPECT_GT(fail_allocations([&] { return SafetensorsFile(folder / "m").metadata(); }), 5);
  folder.write("vocab.txt", "\t0\n<start>\t0\n<unk>\t0\ngood\t3\na_word_that_is_long\t2\n");
  EXPECT_GT(fail_allocations([&] { return Vocabulary::read(folder / "vocab.txt", {}).size(); }), 5);
}

}  // namespace
}  // namespace reel
