#include "host/model/preprocessing.h"

#include <type_traits>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {

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
  const auto entry = [&](const char* key) -> const std::string& {
    const auto found = metadata.find(key);
    if (found == metadata.end()) fail("{}: no metadata '{}'", where, key);
    return found->second;
  };
  const auto number = [&](const char* key, auto& value, std::int64_t least, std::int64_t most = kMaxTensorLength) {
    value = static_cast<std::remove_reference_t<decltype(value)>>(metadata_number(where, key, entry(key), least, most));
  };
  const auto is_first = [&](const char* key, const char* first, const char* second) {
    const std::string& text = entry(key);
    if (text != first && text != second) {
      fail("{}: metadata '{}' is '{}', expected {} or {}", where, key, text, first, second);
    }
    return text == first;
  };
  Preprocessing p;
  number("num_words", p.load.num_words, -1);
  if (p.load.num_words == 0) fail("{}: metadata 'num_words' is 0, expected -1 for all words, or 1 or more", where);
  number("skip_top", p.load.skip_top, 0);
  number("drop_longer", p.load.maxlen, -1);
  number("start_char", p.load.start_char, -1);
  number("oov_char", p.load.oov_char, -1);
  number("index_from", p.load.index_from, 0);
  number("maxlen", p.maxlen, 1, kMaxRowSteps);
  p.padding = is_first("padding", "pre", "post") ? Padding::kPre : Padding::kPost;
  p.truncating = is_first("truncating", "pre", "post") ? Truncating::kPre : Truncating::kPost;
  p.mask = is_first("mask", "on", "off");
  return p;
}

}  // namespace reel
