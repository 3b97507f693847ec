// config.toml and --config.
#include "host/files/toml.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  for (const auto& [key, value] : reel::parse_toml(text, "config.toml")) {
    const auto again = reel::parse_toml("key = " + reel::toml_string(value), "again");
    if (again.at("key") != value) std::abort();
  }
})
