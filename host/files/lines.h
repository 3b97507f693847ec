// Texts as lines, and lines that somebody may still be writing.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

/// Lines of a pipe, or of a terminal.
class LineReader {
 public:
  /// `name` is for messages; the descriptor stays its owner's.
  LineReader(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}

  /// The next line without its end, be that of Unix or Windows, and without a byte order mark before the first. Nothing
  /// at the end of the input. Throws Error when it cannot be read, or a line is longer than limits.h allows.
  std::optional<std::string> next();

  /// Whether there is a line, or more of one, without waiting for somebody to write it.
  bool is_waiting() const;

 private:
  int descriptor_;
  std::string name_, text_;  // what has been read from offset_ on is not yet handed over
  std::size_t offset_ = 0, lines_ = 0;
  bool ended_ = false;  // asked again, a terminal would go on
};

}  // namespace reel
