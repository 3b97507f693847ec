#include "host/text/word_counts.h"

#include <charconv>
#include <string_view>

#include "host/files/file.h"
#include "host/files/lines.h"
#include "kernels/check.h"

namespace reel {

WordCounts read_word_counts(const std::filesystem::path& path) {
  WordCounts list;
  for_each_line(read_file(path), [&](std::string_view line) {
    const std::size_t tab = line.find('\t');
    std::int64_t count = -1;
    if (tab != std::string_view::npos) std::from_chars(line.data() + tab + 1, line.data() + line.size(), count);
    if (count < 0) fail("{}:{}: expected word<TAB>count", path.string(), list.words.size() + 1);
    list.words.emplace_back(line.substr(0, tab));
    list.counts.push_back(count);
  });
  return list;
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
