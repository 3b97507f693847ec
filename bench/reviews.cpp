#include "bench/reviews.h"

#include <algorithm>
#include <cmath>

#include "kernels/philox.h"

namespace reel::bench {

Dataset make_reviews(std::int64_t reviews, std::int64_t steps, std::int64_t vocabulary, bool ragged) {
  constexpr std::int64_t kFirstWord = 4;
  const RandomKey key{.stream = RandomStream::kGeneratedReviews};
  Dataset data{.steps = steps};
  std::uint64_t position = 0;
  for (std::int64_t i = 0; i < reviews; ++i) {
    const double length = 178 * std::exp(1.2 * (random_uniform(key, position++) - 0.45));
    data.lengths.push_back(
        static_cast<std::int32_t>(ragged ? std::min(length, static_cast<double>(steps)) : static_cast<double>(steps)));
    data.labels.push_back(static_cast<std::int32_t>(i % 2));
    const auto words = static_cast<double>(vocabulary - kFirstWord);
    for (std::int64_t t = 0; t < steps; ++t) {
      const double word = kFirstWord + std::pow(words, static_cast<double>(random_uniform(key, position++))) - 1;
      data.ids.push_back(std::min(static_cast<std::int32_t>(word), static_cast<std::int32_t>(vocabulary - 1)));
    }
  }
  return data;
}

}  // namespace reel::bench
