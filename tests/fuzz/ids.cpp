// What `reel predict --input ids` and `--input text` are given.
#include "host/text/ids.h"
#include "host/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  std::string repaired(text);
  reel::repair_utf8(repaired);
  reel::for_each_word(text, [](std::string_view) {});
  for (const std::int32_t id : reel::parse_ids(text, 100, "input 1")) {
    if (id < 0 || id >= 100) std::abort();
  }
})
