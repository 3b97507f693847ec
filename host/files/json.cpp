#include "host/files/json.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Builds the value from the parser's events.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const std::string& where) : where_(where) {}

  bool null() override { return add(JsonValue()); }
  bool boolean(bool value) override { return add(JsonValue(value)); }
  bool number_integer(number_integer_t value) override { return add(JsonValue(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return add(JsonValue(std::uint64_t{value}));
    return add(JsonValue(static_cast<std::int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(JsonValue(value)); }
  bool string(string_t& value) override { return add(JsonValue(std::move(value))); }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_array(std::size_t) override { return open(JsonValue(JsonValue::Array())); }
  bool start_object(std::size_t) override { return open(JsonValue(JsonValue::Object())); }
  bool end_array() override { return close(); }
  bool end_object() override { return close(); }
  bool key(string_t& key) override {
    const auto [member, added] = open_.back()->get_if<JsonValue::Object>()->try_emplace(std::move(key));
    if (!added) fail("{}: key {} twice", where_, excerpt(member->first));
    member_ = &member->second;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...; last read: '...'"
    std::string reason = error.what();
    reason.erase(0, reason.find("] ") + 2);
    reason.resize(std::min(reason.find("; last read"), reason.size()));
    fail("{}: not JSON: {}", where_, reason.substr(0, 2 * kMaxExcerpt));
  }

  JsonValue take() { return std::move(root_); }

 private:
  /// Where the next value belongs.
  JsonValue& next() {
    if (++values_ > kMaxJsonValues) fail("{}: more than {} values of JSON", where_, kMaxJsonValues);
    if (open_.empty()) return root_;
    if (auto* const array = open_.back()->get_if<JsonValue::Array>()) return array->emplace_back();
    return *member_;
  }

  bool add(JsonValue value) {
    next() = std::move(value);
    return true;
  }

  bool open(JsonValue value) {
    if (open_.size() >= kMaxJsonDepth) fail("{}: JSON nested deeper than {}", where_, kMaxJsonDepth);
    JsonValue& opened = next();
    opened = std::move(value);
    open_.push_back(&opened);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  JsonValue root_;
  std::vector<JsonValue*> open_;  // arrays and objects, from the root to the innermost: those do not move
  std::size_t values_ = 0;
  JsonValue* member_ = nullptr;  // of the innermost object, whose key was read last
};

/// Writes JSON: of invalid UTF-8, U+FFFD. (Not as a value of nlohmann's, see json.h; but for what holds no other.)
class Writer {
 public:
  static constexpr int kOneLine = -1;

  /// With `indent` blanks before a member, or on one line; no more elements once there are `most` bytes.
  Writer(int indent, bool ascii, std::size_t most) : indent_(indent), ascii_(ascii), most_(most) {}

  void write(const JsonValue& value) {
    if (const auto* const array = value.get_if<JsonValue::Array>()) {
      write_elements(*array, "[]", [this](const JsonValue& element) { write(element); });
    } else if (const auto* const object = value.get_if<JsonValue::Object>()) {
      write_members(*object);
    } else if (const auto* const string = value.get_if<std::string>()) {
      write_primitive(*string);
    } else if (const auto* const integer = value.get_if<std::int64_t>()) {
      write_primitive(*integer);
    } else if (const auto* const large = value.get_if<std::uint64_t>()) {
      write_primitive(*large);
    } else if (const auto* const number = value.get_if<double>()) {
      write_primitive(*number);
    } else if (const auto* const boolean = value.get_if<bool>()) {
      write_primitive(*boolean);
    } else {
      write_primitive(nullptr);
    }
  }

  void write_members(const auto& members) {
    write_elements(members, "{}", [this](const auto& member) {
      write_primitive(member.first);
      text_ += indent_ == kOneLine ? ":" : ": ";
      write(member.second);
    });
  }

  std::string take() { return std::move(text_); }

 private:
  template <class T>
  void write_primitive(const T& value) {
    text_ += nlohmann::json(value).dump(-1, ' ', ascii_, nlohmann::json::error_handler_t::replace);
  }

  void write_elements(const auto& elements, const char* brackets, const auto& write_element) {
    text_ += brackets[0];
    ++depth_;
    for (const auto& element : elements) {
      if (text_.size() > most_) return;
      if (&element != &*elements.begin()) text_ += ',';
      begin_line();
      write_element(element);
    }
    --depth_;
    if (!elements.empty()) begin_line();
    text_ += brackets[1];
  }

  void begin_line() {
    if (indent_ == kOneLine) return;
    text_ += '\n';
    text_.append(static_cast<std::size_t>(indent_ * depth_), ' ');
  }

  int indent_, depth_ = 0;
  bool ascii_;
  std::size_t most_;
  std::string text_;
};

std::string shortened(std::string text) {
  if (text.size() <= kMaxExcerpt) return text;
  text.resize(kMaxExcerpt);
  return text + "...";
}

const JsonValue& member(const JsonValue& object, std::string_view key, const std::string& where) {
  const JsonValue* const value = object.find(key);
  if (value == nullptr) fail("{}: no '{}'", where, key);
  return *value;
}

template <class T>
const T& typed(const JsonValue& value, std::string_view key, const char* expected, const std::string& where) {
  const T* const found = value.get_if<T>();
  if (found == nullptr) fail("{}: '{}' is {}, expected {}", where, key, excerpt(value), expected);
  return *found;
}

double number_of(const JsonValue& value, std::string_view key, const std::string& where) {
  if (const auto* const integer = value.get_if<std::int64_t>()) return static_cast<double>(*integer);
  return typed<double>(value, key, "a number", where);
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  const Object* const object = get_if<Object>();
  if (object == nullptr) return nullptr;
  const auto found = object->find(key);
  return found == object->end() ? nullptr : &found->second;
}

JsonValue parse_json(std::string_view text, const std::string& where) {
  Builder builder(where);
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

std::int64_t integer_at(const JsonValue& object, std::string_view key, const std::string& where) {
  return typed<std::int64_t>(member(object, key, where), key, "a whole number", where);
}

double number_at(const JsonValue& object, std::string_view key, const std::string& where) {
  return number_of(member(object, key, where), key, where);
}

std::vector<double> numbers_at(const JsonValue& object, std::string_view key, const std::string& where) {
  std::vector<double> numbers;
  for (const JsonValue& value : typed<JsonValue::Array>(member(object, key, where), key, "an array", where)) {
    numbers.push_back(number_of(value, key, where));
  }
  return numbers;
}

const std::string& string_at(const JsonValue& object, std::string_view key, const std::string& where) {
  return typed<std::string>(member(object, key, where), key, "a string", where);
}

std::string to_json(const JsonMembers& members, JsonLayout layout) {
  Writer writer(layout == JsonLayout::kIndented ? 2 : Writer::kOneLine, false, SIZE_MAX);
  writer.write_members(members);
  return writer.take();
}

std::string excerpt(const JsonValue& value) {
  Writer writer(Writer::kOneLine, true, kMaxExcerpt);
  writer.write(value);
  return shortened(writer.take());
}

std::string excerpt(const std::string& text) { return excerpt(JsonValue(text.substr(0, kMaxExcerpt))); }

}  // namespace reel
