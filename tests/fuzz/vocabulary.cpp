#include "host/text/vocabulary.h"

#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  const reel::Vocabulary vocabulary = reel::Vocabulary::read(file.path(), {});
  if (vocabulary.has_words()) vocabulary.encode(text);
})
