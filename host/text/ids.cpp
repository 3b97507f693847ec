#include "host/text/ids.h"

#include "host/files/json.h"
#include "kernels/check.h"

namespace reel {

std::vector<std::int32_t> parse_ids(std::string_view line, std::int64_t vocabulary, const std::string& where) {
  const nlohmann::json json = parse_json(line, where);
  if (!json.is_object() || !json.contains("ids") || !json["ids"].is_array()) {
    fail("{}: expected {{\"ids\": [1, 14, 22, ...]}}", where);
  }
  std::vector<std::int32_t> ids;
  for (const nlohmann::json& id : json["ids"]) {
    // Compared as numbers of one type: JSON's operators would convert a large one to a negative one.
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= static_cast<std::uint64_t>(vocabulary)) {
      fail("{}: id {}, expected 0 to {}", where, excerpt(id), vocabulary - 1);
    }
    ids.push_back(static_cast<std::int32_t>(id.get<std::uint64_t>()));
  }
  return ids;
}

}  // namespace reel
