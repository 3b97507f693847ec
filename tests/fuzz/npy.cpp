// The arrays of an imdb.npz: the size of x in four bytes, x.npy, y.npy.
#include <algorithm>
#include <cstring>

#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pack.h"

REEL_FUZZ({
  std::uint32_t size = 0;
  std::memcpy(&size, text.data(), std::min(text.size(), sizeof size));
  const std::string_view arrays = text.substr(std::min(text.size(), sizeof size));
  const std::string_view x = arrays.substr(0, size);
  const std::string_view y = arrays.substr(x.size());
  const reel::fuzz::File file(reel::fuzz::pack(
      reel::fuzz::Format::kZip, {{"x_train.npy", x}, {"y_train.npy", y}, {"x_test.npy", x}, {"y_test.npy", y}}));
  reel::read_npz(file.path(), {});
})
