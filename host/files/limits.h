// How large what is read may be. The files come from strangers: a small one must not fill the memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace reel {

/// Of a JSON value; the reader of it, and whoever prints it, may recurse.
inline constexpr int kMaxJsonDepth = 32;
/// Bytes of a configuration: toml++ recurses for each dot of a key.
inline constexpr std::size_t kMaxToml = 16'384;
/// Bytes of a safetensors header: the reference implementation's limit.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
/// Bytes of one file in an archive, unpacked; the largest of imdb.npz has 40 million.
inline constexpr std::size_t kMaxArchiveEntry = std::size_t{1} << 28;
/// Bytes of all files in an archive, unpacked: this many, and as many times the archive's size as deflate can make of
/// it.
inline constexpr std::size_t kMaxUnpacked = std::size_t{16} << 20;
inline constexpr std::size_t kMaxUnpackedRatio = 1032;
/// Values of a pickle, all that it makes and remembers together; Keras' imdb.npz has 12 million.
inline constexpr std::size_t kMaxPickleValues = std::size_t{1} << 26;
/// Of those, the ones that it remembers, each of which takes more memory.
inline constexpr std::size_t kMaxPickleMemo = std::size_t{1} << 20;
/// Characters of a JSON value in an error message. (Error itself cuts what is longer than 1000.)
inline constexpr std::size_t kMaxExcerpt = 80;

}  // namespace reel
