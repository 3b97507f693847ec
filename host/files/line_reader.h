// Lines that somebody may still be writing: a pipe's, a terminal's.
#pragma once

#include <optional>
#include <string>

namespace reel {

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
