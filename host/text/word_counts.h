// The text format of word lists: a line `word<TAB>count` each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace reel {

struct WordCounts {
  std::vector<std::string> words;  // a word may be empty: a rank without a known word
  std::vector<std::int64_t> counts;
};

/// Throws Error with path and line number where a line is something else.
WordCounts read_word_counts(const std::filesystem::path& path);

/// What the file says. `words` may be empty: then every word is.
std::string word_counts_text(const std::vector<std::string>& words, const std::vector<std::int64_t>& counts);

}  // namespace reel
