#include "host/text/ids.h"

#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {

std::vector<std::int32_t> parse_ids(std::string_view line, std::int64_t vocabulary, const std::string& where) {
  const JsonValue json = parse_json(line, where);
  const auto* const array = json.find_if<JsonValue::Array>("ids");
  if (array == nullptr) fail("{}: expected {{\"ids\": [1, 14, 22, ...]}}", where);
  std::vector<std::int32_t> ids;
  for (const JsonValue& id : *array) {
    const auto* const number = id.get_if<std::int64_t>();
    if (number == nullptr || *number < 0 || *number >= vocabulary) {
      fail("{}: id {}, expected 0 to {}", where, excerpt(id), vocabulary - 1);
    }
    ids.push_back(static_cast<std::int32_t>(*number));
  }
  return ids;
}

}  // namespace reel
