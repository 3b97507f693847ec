// From a label's name to its class.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "host/text/labels.h"

namespace reel {

/// A decimal number, all of the text; nothing for any other text, infinities and what is none.
std::optional<double> parse_number(std::string_view text);

/// Whether a number is written as one that counts, so that 1 and 1.0 are the same; codes such as 01, and numbers of
/// sixteen digits and more, are what is written.
bool is_quantity(std::string_view text);

/// 0 of 0, neg, negative and false, 1 of 1, pos, positive and true, in any case; nothing of another name.
std::optional<std::int32_t> two_class(std::string_view name);
/// The name of the other class: pos of neg, and so on. `name` is one that two_class() knows.
std::string other_of_two(std::string_view name);

/// Whether these are two classes whose names two_class() knows, in their places.
bool are_two_class(const LabelSet& labels);

class LabelIndex {
 public:
  explicit LabelIndex(const LabelSet& labels);

  /// A label of this name; or of one that means the same: of two classes by two_class(), of numbers as a number.
  std::optional<std::int32_t> find(std::string_view name) const;

 private:
  std::map<std::string, std::int32_t, std::less<>> by_name_;
  std::map<double, std::int32_t> by_number_;  // where all are numbers
  bool two_class_;
};

/// What is wrong with a name that LabelIndex of a model's labels does not find; `where` begins it.
[[noreturn]] void fail_unknown_label(const std::string& where, std::string_view name, const LabelSet& labels);

}  // namespace reel
