// How large what is read may be. The files come from strangers: a small one must not fill the memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace reel {

/// Of a JSON value; the reader of it, and whoever prints it, may recurse.
inline constexpr int kMaxJsonDepth = 32;
/// Values in a JSON value: each may take thirty times its text. imdb_word_index.json has 88,584.
inline constexpr std::size_t kMaxJsonValues = std::size_t{1} << 21;
/// Bytes of a line of standard input, and of a row of a file of rows.
inline constexpr std::size_t kMaxLine = std::size_t{1} << 24;
/// Bytes of a configuration: toml++ recurses for each dot of a key.
inline constexpr std::size_t kMaxToml = 16'384;
/// Bytes of a safetensors header: the reference implementation's limit.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
/// Recurrent layers of a model.
inline constexpr std::int64_t kMaxLayers = 16;
/// Of a dimension of a tensor of weights: products of two fit 64 bits.
inline constexpr std::int64_t kMaxTensorLength = std::int64_t{1} << 30;
/// Bytes of what stands in a tar archive before a file's contents: its name, owner and the like.
inline constexpr std::size_t kMaxArchiveHeader = std::size_t{1} << 20;
/// Bytes of one file in an archive, unpacked; the largest of imdb.npz has 40 million.
inline constexpr std::size_t kMaxArchiveEntry = std::size_t{1} << 28;
/// Bytes of all files in an archive, or of one packed file, unpacked: this many, and as many times the packed size.
/// Text packs to a fifth.
inline constexpr std::size_t kMaxUnpacked = std::size_t{16} << 20;
inline constexpr std::size_t kMaxUnpackedRatio = 50;
/// Bytes of a file of rows, unpacked.
inline constexpr std::size_t kMaxUnpackedText = std::size_t{1} << 32;
/// Bytes of a download; the archive of the reviews has 84 million.
inline constexpr std::int64_t kMaxDownload = std::int64_t{1} << 30;
/// Values of a pickle, all that it makes and remembers together; each of Keras' imdb.npz has six million.
inline constexpr std::size_t kMaxPickleValues = std::size_t{1} << 24;
/// Of those, the ones that take more memory: those that it remembers, and lists, texts and arrays.
inline constexpr std::size_t kMaxPickleMemo = std::size_t{1} << 20;
inline constexpr std::size_t kMaxPickleObjects = std::size_t{1} << 20;
/// Fields of a record of CSV: each, though empty, takes memory.
inline constexpr std::size_t kMaxColumns = 1000;
/// Classes, or labels of which a text may have several: each is a column of weights.
inline constexpr std::size_t kMaxClasses = 10'000;
/// Bytes of a label's name.
inline constexpr std::size_t kMaxLabelBytes = 1000;
/// Of a word in imdb.npz.
inline constexpr std::int64_t kMaxRank = 1 << 24;
/// Steps of a row and of all rows of a data set: they are held with their padding.
inline constexpr std::int64_t kMaxRowSteps = 100'000;
inline constexpr std::int64_t kMaxDatasetSteps = std::int64_t{1} << 30;
/// Values that a layer holds for a batch to evaluate or to predict, if that is more than one row.
inline constexpr std::int64_t kMaxBatchValues = std::int64_t{1} << 26;
/// Of the rows that are evaluated at once: how many steps a row has may be a stranger's choice.
inline constexpr std::int64_t kMaxEvaluatedSteps = std::int64_t{1} << 24;
/// Characters of a JSON value in an error message. (Error itself cuts what is longer than 1000.)
inline constexpr std::size_t kMaxExcerpt = 80;

}  // namespace reel
