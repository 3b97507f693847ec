// Keras' imdb.npz: a zip of x_train.npy, y_train.npy, x_test.npy and y_test.npy.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include "host/files/archive.h"
#include "host/files/checksum.h"
#include "host/files/file.h"
#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/text/pickle.h"
#include "host/text/readers.h"
#include "host/text/vocabulary.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

struct Npy {
  std::string dtype;    // NumPy's: "|O", "<i8", ...
  std::int64_t length;  // of its only dimension
  std::string_view data;
};

/// What of `text` stands between the first `before` and the next `after`; nothing if they do not.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + before.size());
  const std::size_t end = text.find(after);
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end);
}

/// numpy/lib/format.py: magic, version, header size, a Python dict, the data.
Npy parse_npy(std::string_view bytes, const std::string& where) {
  if (!bytes.starts_with("\x93NUMPY") || bytes.size() < 12) fail("{}: not an .npy file", where);
  const bool wide = bytes[6] > 1;  // versions 2 and 3 have a four-byte header size
  std::uint32_t size = 0;
  std::memcpy(&size, bytes.data() + 8, wide ? 4 : 2);
  const std::size_t begin = wide ? 12 : 10;
  if (size > bytes.size() - begin) fail("{}: the file ends inside its header", where);
  const std::string_view header = bytes.substr(begin, size);
  const std::string_view dtype = between(header, "'descr': '", "'"), shape = between(header, "'shape': (", ",)");
  std::int64_t length = -1;
  const auto [end, error] = std::from_chars(shape.data(), shape.data() + shape.size(), length);
  if (dtype.empty() || error != std::errc() || end != shape.data() + shape.size() || length < 0 ||
      between(header, "'fortran_order': ", ",") != "False") {
    fail("{}: expected a one-dimensional array, found {}", where, excerpt(std::string(header.substr(0, kMaxExcerpt))));
  }
  return {.dtype = std::string(dtype), .length = length, .data = bytes.substr(begin + size)};
}

std::vector<std::int32_t> read_labels(std::string_view bytes, const std::string& where) {
  const Npy array = parse_npy(bytes, where);
  if (array.dtype != "<i8") fail("{}: labels of type {}, expected <i8", where, array.dtype);
  const auto count = static_cast<std::size_t>(array.length);
  if (array.data.size() / sizeof(std::int64_t) < count) fail("{}: the file ends early", where);
  std::vector<std::int32_t> labels;
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t label = 0;
    std::memcpy(&label, array.data.data() + i * sizeof label, sizeof label);
    if (label != 0 && label != 1) fail("{}: label {} of review {}, expected 0 or 1", where, label, i + 1);
    labels.push_back(static_cast<std::int32_t>(label));
  }
  return labels;
}

Reviews read_reviews(std::string_view x, std::string_view y, const std::string& where) {
  const Npy array = parse_npy(x, where);
  if (array.dtype != "|O") fail("{}: reviews of type {}, expected |O (lists of integers)", where, array.dtype);
  Reviews reviews;
  for (const std::vector<std::int64_t>& review : unpickle_lists(array.data, where)) {
    for (const std::int64_t rank : review) {
      if (rank < 1 || rank > kMaxRank) fail("{}: word rank {}, expected 1 to {}", where, rank, kMaxRank);
      reviews.ranks.push_back(static_cast<std::int32_t>(rank));
    }
    reviews.begin.push_back(static_cast<std::int64_t>(reviews.ranks.size()));
  }
  reviews.labels = read_labels(y, where);
  if (reviews.labels.size() + 1 != reviews.begin.size()) {
    fail("{}: {} reviews, but {} labels", where, reviews.begin.size() - 1, reviews.labels.size());
  }
  return reviews;
}

std::int32_t largest_rank(const Reviews& reviews) {
  return reviews.ranks.empty() ? 0 : std::ranges::max(reviews.ranks);
}

}  // namespace

std::vector<std::string> read_word_index(const fs::path& path) {
  const JsonValue json = parse_json(read_file(path), path.string());
  const auto* const index = json.get_if<JsonValue::Object>();
  if (index == nullptr) fail("{}: expected {{\"word\": rank, ...}}", path.string());
  std::vector<std::string> words(index->size());
  for (const auto& [word, rank] : *index) {
    const auto* const number = rank.get_if<std::int64_t>();
    if (number == nullptr || *number < 1 || *number > std::ssize(words)) {
      fail("{}: rank {} of {}, expected 1 to {}", path.string(), excerpt(rank), excerpt(word), words.size());
    }
    if (!is_word(word) || word.find_first_of("\t\n") != std::string::npos) {
      fail("{}: {} of rank {}, expected a word without tabs and newlines, none of Reel's own names", path.string(),
           excerpt(word), excerpt(rank));
    }
    std::string& ranked = words[static_cast<std::size_t>(*number - 1)];
    if (!ranked.empty()) fail("{}: {} and {} have the same rank", path.string(), excerpt(ranked), excerpt(word));
    ranked = word;
  }
  return words;
}

Corpus read_npz(const fs::path& path, const fs::path& word_index) {
  std::map<std::string, std::string> arrays = {{"x_train", {}}, {"y_train", {}}, {"x_test", {}}, {"y_test", {}}};
  const auto array_of = [](const std::string& name) { return fs::path(name).stem().string(); };
  read_archive(
      path, [&](const std::string& name) { return arrays.contains(array_of(name)); },
      [&](const std::string& name, std::string contents) {
        std::string& array = arrays[array_of(name)];
        if (!array.empty()) fail("{}: {} twice", path.string(), name);
        array = std::move(contents);
      });
  for (const auto& [name, contents] : arrays) {
    if (contents.empty()) fail("{}: no {}.npy in it, expected Keras' imdb.npz", path.string(), name);
  }
  const std::string where = path.string() + ": ";
  Corpus corpus;
  corpus.train = read_reviews(arrays["x_train"], arrays["y_train"], where + "train");
  corpus.test = read_reviews(arrays["x_test"], arrays["y_test"], where + "test");
  if (corpus.train.size() == 0) fail("{}no training reviews", where);
  if (corpus.train.ranks.empty()) fail("{}no word in its training reviews", where);
  corpus.labels.names = {"0", "1"};
  corpus.source = path.string();
  corpus.source_checksum = file_sha256(path);
  if (!word_index.empty()) corpus.words = read_word_index(word_index);
  const std::int32_t in_train = largest_rank(corpus.train), in_all = std::max(in_train, largest_rank(corpus.test));
  if (!corpus.words.empty() && corpus.words.size() < static_cast<std::size_t>(in_train)) {
    fail("{}: {} words, but {} has ranks up to {}", word_index.string(), corpus.words.size(), path.string(), in_train);
  }
  corpus.counts.resize(corpus.words.empty() ? static_cast<std::size_t>(in_all) : corpus.words.size());
  for (const std::int32_t rank : corpus.train.ranks) ++corpus.counts[static_cast<std::size_t>(rank) - 1];
  for (std::int32_t& rank : corpus.test.ranks) {  // of no word in the index
    if (static_cast<std::size_t>(rank) > corpus.counts.size()) rank = 0;
  }
  return corpus;
}

}  // namespace reel
