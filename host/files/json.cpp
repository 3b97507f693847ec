#include "host/files/json.h"

#include <algorithm>
#include <limits>
#include <set>
#include <vector>

#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {

using Json = nlohmann::json;

Json parse_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    const bool opens = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kMaxJsonDepth) fail("{}: JSON nested deeper than {}", where, kMaxJsonDepth);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) fail("{}: key {} twice", where, excerpt(parsed));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception& error) {  // a number out of range is no parse_error
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...; last read: '...'"
    std::string reason = error.what();
    reason.erase(0, reason.find("] ") + 2);
    reason.resize(std::min(reason.find("; last read"), reason.size()));
    fail("{}: not JSON: {}", where, reason.substr(0, 2 * kMaxExcerpt));
  }
}

std::int64_t integer_at(const Json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) fail("{}: no '{}'", where, key);
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() ||
                     found->get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
  if (!fits) fail("{}: '{}' is {}, expected a whole number", where, key, excerpt(*found));
  return found->get<std::int64_t>();
}

std::string excerpt(const Json& value) {
  const std::string text = value.dump(-1, ' ', true);  // ASCII: it can be cut anywhere
  return text.size() <= kMaxExcerpt ? text : text.substr(0, kMaxExcerpt) + "...";
}

}  // namespace reel
