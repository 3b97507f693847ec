// Text to words, as keras.preprocessing.text.Tokenizer's defaults do it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace reel {

/// Calls `word` for each word of a text: lower-cased, with every character of !"#$%&()*+,-./:;<=>?@[\]^_`{|}~ and tab
/// and newline read as a space, split at spaces; apostrophes stay. Upper case beyond ASCII is mapped letter by letter
/// (Python's few one-to-many mappings are not made). Invalid UTF-8 is replaced by U+FFFD as Python's errors="replace"
/// does. Returns the number of replacements.
std::int64_t for_each_word(std::string_view text, const std::function<void(std::string_view word)>& word);

/// Replaces invalid UTF-8 in place, in the same way. Returns the number of replacements.
std::int64_t repair_utf8(std::string& text);

}  // namespace reel
