#include "host/text/labels.h"

#include <algorithm>
#include <unordered_set>

#include "host/files/limits.h"
#include "host/files/lines.h"
#include "kernels/check.h"

namespace reel {

std::vector<float> Targets::dense(std::size_t first, std::size_t count, std::size_t outputs) const {
  std::vector<float> rows(count * outputs);
  for (std::size_t i = 0; i < count; ++i) {
    const auto end = static_cast<std::size_t>(begin[first + i + 1]);
    for (auto k = static_cast<std::size_t>(begin[first + i]); k < end; ++k) {
      rows[i * outputs + static_cast<std::size_t>(columns[k])] = values[k];
    }
  }
  return rows;
}

std::string label_names_text(const LabelSet& labels) {
  std::string text;
  for (const std::string& name : labels.names) text += name + '\n';
  return text;
}

std::vector<std::string> parse_label_names(std::string_view text, const std::string& where) {
  std::vector<std::string> names;
  std::unordered_set<std::string_view> known;
  for_each_line(text, [&](std::string_view line) {
    if (line.empty()) fail("{}:{}: expected the name of a label", where, names.size() + 1);
    if (line.size() > kMaxLabelBytes)
      fail("{}:{}: a label of more than {} bytes", where, names.size() + 1, kMaxLabelBytes);
    if (names.size() == kMaxClasses) fail("{}: more than {} labels", where, kMaxClasses);
    if (!known.insert(line).second) fail("{}:{}: label '{}' twice", where, names.size() + 1, line);
    names.emplace_back(line);
  });
  return names;
}

std::string first_few(std::span<const std::string> names) {
  constexpr std::size_t kFew = 5, kLetters = 40;
  std::string text;
  for (const std::string& name : names.first(std::min(names.size(), kFew))) {
    text += fmt::format("{}{:.{}}", text.empty() ? "" : ", ", name, kLetters);
  }
  return text + (names.size() > kFew ? ", ..." : "");
}

}  // namespace reel
