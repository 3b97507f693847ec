#include "host/text/word_counts.h"

#include <charconv>
#include <string_view>

#include "host/files/file.h"
#include "host/files/lines.h"
#include "kernels/check.h"

namespace reel {

WordCounts parse_word_counts(std::string_view text, const std::string& where) {
  WordCounts list;
  for_each_line(text, [&](std::string_view line) {
    const std::size_t tab = line.find('\t');
    std::int64_t count = -1;
    const char* const end = line.data() + line.size();
    const bool whole = tab != std::string_view::npos && std::from_chars(line.data() + tab + 1, end, count).ptr == end;
    if (!whole || count < 0) fail("{}:{}: expected word<TAB>count", where, list.words.size() + 1);
    list.words.emplace_back(line.substr(0, tab));
    list.counts.push_back(count);
  });
  return list;
}

WordCounts read_word_counts(const std::filesystem::path& path) {
  return parse_word_counts(read_file(path), path.string());
}

std::string word_counts_text(const std::vector<std::string>& words, const std::vector<std::int64_t>& counts) {
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (!words.empty()) text += words[i];
    text += '\t' + std::to_string(counts[i]) + '\n';
  }
  return text;
}

}  // namespace reel
