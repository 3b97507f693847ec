#include "host/text/dataset.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <random>

#include "host/files/limits.h"
#include "host/text/corpus_builder.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// What truncation leaves of a sequence.
std::span<const std::int32_t> truncate(std::span<const std::int32_t> ids, std::int64_t steps, Truncating truncating) {
  const auto limit = static_cast<std::size_t>(steps);
  if (ids.size() <= limit) return ids;
  return truncating == Truncating::kPre ? ids.last(limit) : ids.first(limit);
}

/// 0 to `last`, as numpy.random.RandomState draws it: by masked rejection.
std::uint32_t draw_up_to(std::uint32_t last, std::mt19937& bits) {
  std::uint32_t mask = last;
  for (const int shift : {1, 2, 4, 8, 16}) mask |= mask >> shift;
  for (;;) {
    const auto drawn = static_cast<std::uint32_t>(bits()) & mask;
    if (drawn <= last) return drawn;
  }
}

}  // namespace

std::vector<std::int32_t> pad_sequences(std::span<const std::vector<std::int32_t>> sequences, std::int64_t maxlen,
                                        Padding padding, Truncating truncating, std::int32_t value) {
  REEL_CHECK(padding != Padding::kNone, "padding none");
  if (maxlen < 0) {
    maxlen = 0;
    for (const auto& sequence : sequences) maxlen = std::max(maxlen, static_cast<std::int64_t>(sequence.size()));
  }
  const auto width = static_cast<std::size_t>(maxlen);
  std::vector<std::int32_t> padded(sequences.size() * width, value);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto kept = truncate(sequences[i], maxlen, truncating);
    const std::size_t offset = padding == Padding::kPre ? width - kept.size() : 0;
    std::ranges::copy(kept, padded.begin() + static_cast<std::ptrdiff_t>(i * width + offset));
  }
  return padded;
}

std::int64_t longest_review(const Reviews& reviews) {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < reviews.size(); ++i) longest = std::max(longest, std::ssize(reviews.review(i)));
  return longest;
}

Dataset make_dataset(const Reviews& reviews, const LoadOptions& options, std::int64_t steps, Truncating truncating) {
  if (reviews.size() > kMaxDatasetSteps / steps) {
    fail("{} reviews of {} steps each, expected at most {} steps together", reviews.size(), steps, kMaxDatasetSteps);
  }
  Dataset dataset{.steps = steps};
  dataset.ids.reserve(static_cast<std::size_t>(reviews.size() * steps));
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    if (!encode_ranks(reviews.review(i), options, ids)) continue;
    const auto kept = truncate(ids, steps, truncating);
    dataset.lengths.push_back(static_cast<std::int32_t>(kept.size()));
    const auto row = static_cast<std::size_t>(i);
    dataset.labels.push_back(reviews.labels[row]);
    if (!reviews.targets.empty()) dataset.targets.add_row_of(reviews.targets, row);
    if (!reviews.weights.empty()) dataset.weights.push_back(reviews.weights[row]);
    dataset.ids.insert(dataset.ids.end(), kept.begin(), kept.end());
    dataset.ids.resize(static_cast<std::size_t>(dataset.size() * steps), 0);
  }
  return dataset;
}

double known_share(const Reviews& reviews, const LoadOptions& options, std::int64_t steps, Truncating truncating,
                   std::span<const std::int64_t> counts) {
  const auto knows = [&](std::int32_t rank) {
    return is_known(rank, options) &&
           (counts.empty() ||
            counts[static_cast<std::size_t>(rank) + static_cast<std::size_t>(options.index_from)] > 0);
  };
  std::int64_t known = 0, all = 0;
  for (std::int64_t i = 0; i < reviews.size(); ++i) {
    std::span<const std::int32_t> words = reviews.review(i);
    if (!is_kept(words, options)) continue;
    if (options.oov_char >= 0) {  // an id for each word, after that of the start
      const bool start_counts = truncating == Truncating::kPost && options.start_char >= 0;
      words = truncate(words, steps - start_counts, truncating);
    }
    known += std::ranges::count_if(words, knows);
    all += std::ssize(words);
  }
  return all == 0 ? 1 : static_cast<double>(known) / static_cast<double>(all);
}

Dataset select(const Dataset& dataset, std::span<const std::int32_t> rows) {
  Dataset part{.steps = dataset.steps};
  part.ids.reserve(rows.size() * static_cast<std::size_t>(dataset.steps));
  for (const std::int32_t row : rows) {
    const auto i = static_cast<std::size_t>(row);
    const auto ids = std::span(dataset.ids)
                         .subspan(i * static_cast<std::size_t>(dataset.steps), static_cast<std::size_t>(dataset.steps));
    part.ids.insert(part.ids.end(), ids.begin(), ids.end());
    part.lengths.push_back(dataset.lengths[i]);
    part.labels.push_back(dataset.labels[i]);
    if (!dataset.targets.empty()) part.targets.add_row_of(dataset.targets, i);
    if (!dataset.weights.empty()) part.weights.push_back(dataset.weights[i]);
  }
  return part;
}

Dataset slice(const Dataset& dataset, std::int64_t first, std::int64_t last) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(last - first));
  std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(first));
  return select(dataset, rows);
}

void keras_shuffle(Corpus& corpus, std::uint32_t seed) {
  // load_data makes one RandomState and shuffles an index array for each split.
  std::mt19937 bits(seed);
  for (Reviews* reviews : {&corpus.train, &corpus.test}) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(reviews->size()));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i-- > 1;)
      std::swap(order[i], order[draw_up_to(static_cast<std::uint32_t>(i), bits)]);
    *reviews = permute(*reviews, order);
  }
}

PaddingReport measure_padding(const Dataset& dataset) {
  std::vector<std::int64_t> padding;
  for (const std::int32_t length : dataset.lengths) padding.push_back(dataset.steps - length);
  if (padding.empty()) return {};
  const auto padded = std::ranges::count_if(padding, [](std::int64_t steps) { return steps > 0; });
  const auto middle = padding.begin() + static_cast<std::ptrdiff_t>(padding.size() / 2);
  std::ranges::nth_element(padding, middle);
  return {.padded_share = static_cast<double>(padded) / static_cast<double>(padding.size()), .median_padding = *middle};
}

}  // namespace reel
