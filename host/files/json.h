// JSON, read and written. The parser is nlohmann's; the value is our own, because nlohmann's needs memory to be
// destroyed, which there may be none of.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace reel {

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Object = std::map<std::string, JsonValue, std::less<>>;

  using Variant = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object>;

  JsonValue() = default;  // null
  template <class T>
  requires(!std::same_as<T, JsonValue> && std::constructible_from<Variant, T>) JsonValue(T value)
      : value_(std::move(value)) {}  // not explicit: so members are written as in JSON

  /// The value as a T, nullptr if it is none: std::nullptr_t, bool, std::int64_t, std::uint64_t (only of whole numbers
  /// that std::int64_t does not hold), double (only of numbers with a fraction or an exponent), std::string, Array or
  /// Object.
  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&value_);
  }
  template <class T>
  T* get_if() {
    return std::get_if<T>(&value_);
  }

  /// An object's member, nullptr if there is none or this is no object.
  const JsonValue* find(std::string_view key) const;
  /// The same, and nullptr if it is no T.
  template <class T>
  const T* find_if(std::string_view key) const {
    const JsonValue* const member = find(key);
    return member == nullptr ? nullptr : member->get_if<T>();
  }

 private:
  Variant value_;
};

/// Throws Error, which begins with `where`, on anything but JSON whose objects have different keys and which is nested
/// no deeper than kMaxJsonDepth (limits.h).
JsonValue parse_json(std::string_view text, const std::string& where);

using JsonMembers = std::vector<std::pair<std::string, JsonValue>>;
enum class JsonLayout { kLine, kIndented };
/// An object with these members in this order, on one line or a line for each. Numbers are the shortest that are read
/// as the same; what is no finite one is null, and invalid UTF-8 U+FFFD.
std::string to_json(const JsonMembers& members, JsonLayout layout = JsonLayout::kLine);

template <class T>
JsonValue json_array(const std::vector<T>& elements) {
  return JsonValue(JsonValue::Array(elements.begin(), elements.end()));
}

/// A number, or null.
inline JsonValue json_optional(const std::optional<double>& number) {
  return number ? JsonValue(*number) : JsonValue();
}

/// An object's member, which has to be a whole number that 64 bits with a sign hold, any number, an array of them, or
/// a string. Throws Error, which begins with `where`.
std::int64_t integer_at(const JsonValue& object, std::string_view key, const std::string& where);
double number_at(const JsonValue& object, std::string_view key, const std::string& where);
std::vector<double> numbers_at(const JsonValue& object, std::string_view key, const std::string& where);
const std::string& string_at(const JsonValue& object, std::string_view key, const std::string& where);

/// The value as a message can show it: on one line, in ASCII, not long.
std::string excerpt(const JsonValue& value);
std::string excerpt(const std::string& text);  // of a JSON string

}  // namespace reel
