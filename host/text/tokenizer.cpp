#include "host/text/tokenizer.h"

#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <array>

#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::string_view kSeparators = " !\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";
constexpr char32_t kReplacement = 0xFFFD;

constexpr std::array<char, 128> make_ascii_table() {
  std::array<char, 128> table{};
  for (std::size_t c = 0; c < table.size(); ++c) {
    const char character = static_cast<char>(c);
    table[c] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : character;
    if (kSeparators.find(character) != std::string_view::npos) table[c] = ' ';
  }
  return table;
}
constexpr std::array<char, 128> kAscii = make_ascii_table();  // each character in lower case; ' ' for a separator

/// Unicode's simple case mapping, whatever locale the program runs in.
char32_t lower(char32_t c) {
  static const locale_t unicode = [] {
    const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (locale == nullptr) fail("locale C.UTF-8 is missing: expected in every glibc since 2.35");
    return locale;
  }();
  return static_cast<char32_t>(towlower_l(static_cast<wint_t>(c), unicode));
}

/// Decodes the character at the front of `text` and removes it. Invalid bytes give U+FFFD for each maximal prefix of a
/// valid sequence (Unicode 15, section 3.9, table 3-7), and `invalid` is set.
char32_t decode(std::string_view& text, bool& invalid) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  unsigned low = 0x80, high = 0xBF;  // what the second byte may be
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  std::size_t valid = first >= 0xC2 && first <= 0xF4 ? 1 : 0;
  while (valid > 0 && valid < length && byte(valid) >= low && byte(valid) <= high) {
    ++valid;
    low = 0x80;
    high = 0xBF;
  }
  if (valid < length) {
    text.remove_prefix(std::max<std::size_t>(valid, 1));
    invalid = true;
    return kReplacement;
  }
  char32_t character = first & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) character = character << 6 | (byte(i) & 0x3Fu);
  text.remove_prefix(length);
  return character;
}

void append_utf8(std::string& word, char32_t c) {
  const auto put = [&](char32_t bits) { word += static_cast<char>(bits); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace

std::int64_t for_each_word(std::string_view text, const std::function<void(std::string_view)>& word) {
  std::string current;
  std::int64_t replaced = 0;
  while (!text.empty()) {
    if (static_cast<signed char>(text.front()) >= 0) {
      const char c = kAscii[static_cast<unsigned char>(text.front())];
      text.remove_prefix(1);
      if (c != ' ') {
        current += c;
      } else if (!current.empty()) {
        word(current);
        current.clear();
      }
      continue;
    }
    bool invalid = false;
    append_utf8(current, lower(decode(text, invalid)));
    replaced += invalid;
  }
  if (!current.empty()) word(current);
  return replaced;
}

std::int64_t repair_utf8(std::string& text) {
  std::string repaired;
  std::int64_t replaced = 0;
  for (std::string_view rest = text; !rest.empty();) {
    if (static_cast<signed char>(rest.front()) >= 0) {
      repaired += rest.front();
      rest.remove_prefix(1);
      continue;
    }
    bool invalid = false;
    append_utf8(repaired, decode(rest, invalid));
    replaced += invalid;
  }
  if (replaced > 0) text = std::move(repaired);
  return replaced;
}

}  // namespace reel
