// Encoded reviews, ready for a device: every row cut to `steps` tokens and left-aligned; padding is added by
// the operation SelectRows, so that one data set serves masked and unmasked training.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/text/corpus.h"
#include "host/text/vocabulary.h"
#include "kernels/contract/batch.h"

namespace reel {

enum class Truncating { kPre, kPost };  // which end is cut; kPre keeps the last tokens

struct Dataset {
  std::int64_t steps = 0;             // T
  std::vector<std::int32_t> ids;      // [N, T], 0 from lengths[i] on
  std::vector<std::int32_t> lengths;  // [N]
  std::vector<std::int32_t> labels;   // [N] see Reviews
  Targets targets{};                  // of N rows, or empty
  std::vector<float> weights{};       // [N], or empty

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

/// keras.utils.pad_sequences: [N, maxlen]; maxlen -1 is the longest sequence.
std::vector<std::int32_t> pad_sequences(std::span<const std::vector<std::int32_t>> sequences, std::int64_t maxlen = -1,
                                        Padding padding = Padding::kPre, Truncating truncating = Truncating::kPre,
                                        std::int32_t value = 0);

/// Words of the longest one; 0 when there are none.
std::int64_t longest_review(const Reviews& reviews);

/// What load_data keeps of the reviews, and truncation, in one pass. Throws Error where all rows together, which are
/// held with their padding, take more than limits.h allows.
Dataset make_dataset(const Reviews& reviews, const LoadOptions& options, std::int64_t steps, Truncating truncating);

/// Of the words that make_dataset keeps, the share that has an id of its own and, where `counts` by id are given, was
/// counted; 1 when there are none. Where unknown words are left out (oov_char -1), of all words of the reviews that it
/// keeps.
double known_share(const Reviews& reviews, const LoadOptions& options, std::int64_t steps, Truncating truncating,
                   std::span<const std::int64_t> counts = {});
inline constexpr double kFewWords = 0.8;  // a smaller share is worth a warning

/// The rows [first, last) of a data set.
Dataset slice(const Dataset& dataset, std::int64_t first, std::int64_t last);
/// Those rows of a data set, in that order.
Dataset select(const Dataset& dataset, std::span<const std::int32_t> rows);

/// Applies the shuffle of load_data(seed=113) to both splits, train first: numpy.random.RandomState(seed).shuffle.
void keras_shuffle(Corpus& corpus, std::uint32_t seed = 113);

/// What the padding check prints: how much of a data set is padding.
struct PaddingReport {
  double padded_share = 0;          // rows shorter than T
  std::int64_t median_padding = 0;  // median over all rows of T - length
};
PaddingReport measure_padding(const Dataset& dataset);

}  // namespace reel
