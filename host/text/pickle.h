// A pickle reader that can build one thing: NumPy object arrays of lists of integers, as in Keras' imdb.npz.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// Reads one pickled one-dimensional array of lists (protocols 3 to 5, and 2 as Python 2 wrote it). The only globals it
/// accepts are numpy.ndarray, numpy.dtype and numpy.core.multiarray._reconstruct (also numpy._core); nothing is ever
/// called. Throws Error, which begins with `where`, on any other global, an unknown opcode or a damaged stream.
std::vector<std::vector<std::int64_t>> unpickle_lists(std::string_view bytes, const std::string& where);

}  // namespace reel
