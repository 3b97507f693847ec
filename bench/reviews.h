// Reviews to time with: made up, but as long and as repetitive as IMDB's.
#pragma once

#include <cstdint>

#include "host/text/dataset.h"

namespace reel::bench {

/// Word frequencies follow Zipf's law over `vocabulary` ids. Ragged rows have roughly IMDB's lengths, cut at `steps`
/// (57 % are shorter than 200); others are full.
Dataset make_reviews(std::int64_t reviews, std::int64_t steps, std::int64_t vocabulary, bool ragged);

}  // namespace reel::bench
