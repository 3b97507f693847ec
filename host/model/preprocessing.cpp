#include "host/model/preprocessing.h"

#include <charconv>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Reads the entries of one metadata map.
class Reader {
 public:
  Reader(const Metadata& metadata, const std::string& where) : metadata_(metadata), where_(where) {}

  template <class Integer>
  void number(const char* key, Integer& value) const {
    const std::string& text = entry(key);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      fail("{}: metadata '{}' is '{}', expected a whole number", where_, key, text);
    }
  }
  /// Whether the entry is the first of two words.
  bool first(const char* key, const char* first, const char* second) const {
    const std::string& text = entry(key);
    if (text != first && text != second) {
      fail("{}: metadata '{}' is '{}', expected {} or {}", where_, key, text, first, second);
    }
    return text == first;
  }

 private:
  const std::string& entry(const char* key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) fail("{}: no metadata '{}'", where_, key);
    return found->second;
  }

  const Metadata& metadata_;
  const std::string& where_;
};

}  // namespace

Metadata to_metadata(const Preprocessing& p) {
  return {{"num_words", std::to_string(p.load.num_words)},
          {"skip_top", std::to_string(p.load.skip_top)},
          {"drop_longer", std::to_string(p.load.maxlen)},
          {"start_char", std::to_string(p.load.start_char)},
          {"oov_char", std::to_string(p.load.oov_char)},
          {"index_from", std::to_string(p.load.index_from)},
          {"maxlen", std::to_string(p.maxlen)},
          {"padding", p.padding == Padding::kPre ? "pre" : "post"},
          {"truncating", p.truncating == Truncating::kPre ? "pre" : "post"},
          {"mask", p.mask ? "on" : "off"}};
}

Preprocessing preprocessing_of(const Metadata& metadata, const std::string& where) {
  const Reader reader(metadata, where);
  Preprocessing p;
  reader.number("num_words", p.load.num_words);
  reader.number("skip_top", p.load.skip_top);
  reader.number("drop_longer", p.load.maxlen);
  reader.number("start_char", p.load.start_char);
  reader.number("oov_char", p.load.oov_char);
  reader.number("index_from", p.load.index_from);
  reader.number("maxlen", p.maxlen);
  if (p.maxlen < 1 || p.maxlen > kMaxRowSteps) {
    fail("{}: metadata 'maxlen' is {}, expected 1 to {}", where, p.maxlen, kMaxRowSteps);
  }
  if (p.load.index_from < 0) fail("{}: metadata 'index_from' is {}, expected 0 or more", where, p.load.index_from);
  p.padding = reader.first("padding", "pre", "post") ? Padding::kPre : Padding::kPost;
  p.truncating = reader.first("truncating", "pre", "post") ? Truncating::kPre : Truncating::kPost;
  p.mask = reader.first("mask", "on", "off");
  return p;
}

}  // namespace reel
