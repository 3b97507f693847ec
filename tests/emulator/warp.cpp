// What lanes of a warp compute together. Compiled without sanitizers: it reads other lanes' registers.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>

#include <cuda_ptx.h>

namespace reel::emulator {

void exchange(void* const* ios, std::uint32_t mask) {
  std::uint64_t values[32] = {};
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) values[lane] = static_cast<const Shuffle*>(ios[lane])->value;
  }
  for (std::uint32_t lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    auto* const shuffle = static_cast<Shuffle*>(ios[lane]);
    constexpr std::uint64_t kUndefined = 0xFFFFFFFFFFFFFFFFu;  // NaN
    shuffle->value = mask >> shuffle->source & 1 ? values[shuffle->source] : kUndefined;
  }
}

void load_matrices(void* const* ios, std::uint32_t) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int lane = 0; lane < 32; ++lane) {
      const auto* const row = static_cast<const LoadMatrix*>(ios[8 * matrix + lane / 4])->row;
      const int column = lane % 4 * 2;
      static_cast<LoadMatrix*>(ios[lane])->loaded[matrix] = row[column] | static_cast<std::uint32_t>(row[column + 1])
                                                                              << 16;
    }
  }
}

void load_matrices_transposed(void* const* ios, std::uint32_t) {
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int lane = 0; lane < 32; ++lane) {
      const auto element = [&](int row) {
        return std::uint32_t{static_cast<const LoadMatrix*>(ios[8 * matrix + row])->row[lane / 4]};
      };
      const int row = lane % 4 * 2;
      static_cast<LoadMatrix*>(ios[lane])->loaded[matrix] = element(row) | element(row + 1) << 16;
    }
  }
}

namespace {

template <class Element>
float half_of(std::uint32_t pair, int which) {
  const auto bits = static_cast<std::uint16_t>(pair >> 16 * which);
  Element element;
  std::memcpy(static_cast<void*>(&element), &bits, sizeof bits);
  return static_cast<float>(element);
}

/// Fragments of mma.m16n8k16 (PTX ISA): lane 4g + t has a[i] = A[g + i % 2 * 8][2t + i / 2 * 8 .. + 1], b[i] =
/// B[2t + 8i .. + 1][g], d[e] = D[g + e / 2 * 8][2t + e % 2]. Sums are taken in the order of k.
template <class Element>
void multiply(void* const* ios) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto* const tile = static_cast<const MultiplyTile*>(ios[lane]);
    const int g = lane / 4, t = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      for (int half = 0; half < 2; ++half) a[g + i % 2 * 8][t + i / 2 * 8 + half] = half_of<Element>(tile->a[i], half);
    }
    for (int i = 0; i < 2; ++i) {
      for (int half = 0; half < 2; ++half) b[t + 8 * i + half][g] = half_of<Element>(tile->b[i], half);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    auto* const tile = static_cast<MultiplyTile*>(ios[lane]);
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
      for (int k = 0; k < 16; ++k) tile->d[e] = std::fma(a[row][k], b[k][column], tile->d[e]);
    }
  }
}

}  // namespace

void multiply_fp16(void* const* ios, std::uint32_t) { multiply<__half>(ios); }
void multiply_bf16(void* const* ios, std::uint32_t) { multiply<__nv_bfloat16>(ios); }

}  // namespace reel::emulator
