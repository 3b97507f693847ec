// Texts as lines.
#pragma once

#include <algorithm>
#include <string_view>

namespace reel {

/// Calls f(line) for each line, without its end; the last one may lack that. (Streams would take a lack of memory for
/// the end of the text.)
template <class F>
void for_each_line(std::string_view text, const F& f) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace reel
