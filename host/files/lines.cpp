#include "host/files/lines.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {

std::optional<std::string> LineReader::next() {
  constexpr std::size_t kBlock = 1 << 16;
  std::size_t end = text_.find('\n', offset_);
  while (end == std::string::npos && !ended_) {
    text_.erase(0, std::exchange(offset_, 0));
    const std::size_t held = text_.size();
    if (held > kMaxLine) fail("{}: line {} is longer than {} bytes", name_, lines_ + 1, kMaxLine);
    text_.resize(held + kBlock);
    ssize_t count = 0;
    do {
      count = ::read(descriptor_, text_.data() + held, kBlock);
    } while (count < 0 && errno == EINTR);
    if (count < 0) fail("{}: cannot be read: {}", name_, std::strerror(errno));
    text_.resize(held + static_cast<std::size_t>(count));
    ended_ = count == 0;
    end = text_.find('\n', held);
  }
  if (end == std::string::npos && offset_ == text_.size()) return {};
  std::string line = text_.substr(offset_, end - offset_);
  offset_ = end == std::string::npos ? text_.size() : end + 1;
  if (line.ends_with('\r')) line.pop_back();
  if (lines_++ == 0 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  return line;
}

bool LineReader::is_waiting() const {
  if (ended_ || text_.find('\n', offset_) != std::string::npos) return true;
  pollfd input{.fd = descriptor_, .events = POLLIN, .revents = 0};
  return ::poll(&input, 1, 0) > 0;
}

}  // namespace reel
