// The text format of word lists: a line `word<TAB>count` each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

struct WordCounts {
  std::vector<std::string> words;  // a word may be empty: a rank without a known word
  std::vector<std::int64_t> counts;
};

/// What the file says. Throws Error with path and line number where a line is something else.
WordCounts read_word_counts(const std::filesystem::path& path);
/// The same of its text; `where` is the path.
WordCounts parse_word_counts(std::string_view text, const std::string& where);

/// What the file shall say. `words` may be empty: then every word is.
std::string word_counts_text(const std::vector<std::string>& words, const std::vector<std::int64_t>& counts);

}  // namespace reel
