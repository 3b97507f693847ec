// imdb_word_index.json.
#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  for (const std::string& word : reel::read_word_index(file.path())) {
    if (word.empty()) std::abort();
  }
})
