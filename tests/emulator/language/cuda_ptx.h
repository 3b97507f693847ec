// The functions of kernels/cuda/language/cuda_ptx.h, for the emulator.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_language.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/emulator/approximations.h"

namespace reel::emulator {

/// cp.async fills the target with NaN when it starts, and copies at the latest legal moment: when its own thread waits;
/// from null, zeros.
inline void start_copy(void* to, const void* from, std::uint32_t bytes) {
  Thread& thread = *current;
  if (!is_shared(to, bytes)) fail("cp.async: target %p is not in shared memory", to);
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0) fail("cp.async: target %p is not aligned", to);
  if (reinterpret_cast<std::uintptr_t>(from) % bytes != 0) fail("cp.async: source %p is not aligned", from);
  if (thread.copies == Thread::kMaxCopies) fail("cp.async: more than %u copies under way", Thread::kMaxCopies);
  std::memset(to, 0xFF, bytes);
  thread.copy[thread.copies++] = {to, from, bytes, thread.group};
}

/// Finishes all groups but the newest `pending`.
inline void finish_copies(std::uint32_t pending) {
  Thread& thread = *current;
  std::uint32_t left = 0;
  for (std::uint32_t i = 0; i < thread.copies; ++i) {
    const AsyncCopy copy = thread.copy[i];
    if (copy.group + pending < thread.group) {
      if (copy.from == nullptr) std::memset(copy.to, 0, copy.bytes);
      if (copy.from != nullptr) std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      thread.copy[left++] = copy;
    }
  }
  thread.copies = left;
}

struct LoadMatrix {
  std::uint16_t row[8];     // what this lane's address holds
  std::uint32_t loaded[4];  // out
};
void load_matrices(void* const* ios, std::uint32_t mask);
void load_matrices_transposed(void* const* ios, std::uint32_t mask);

struct MultiplyTile {
  const std::uint32_t* a;  // [4]
  const std::uint32_t* b;  // [2]
  float* d;                // [4] in/out
};
void multiply_fp16(void* const* ios, std::uint32_t mask);
void multiply_bf16(void* const* ios, std::uint32_t mask);

constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

}  // namespace reel::emulator

namespace reel::cuda {

using SharedAddress = std::uintptr_t;
inline SharedAddress opaque_address(const void* shared) { return reinterpret_cast<SharedAddress>(shared); }
inline void hold_loads() {}
inline const float* row_address(const float* first, int row, int bytes) {
  return first + std::int64_t{row} * (bytes / static_cast<int>(sizeof(float)));
}
template <class T>
T& shared_at(SharedAddress address) {
  T* const p = reinterpret_cast<T*>(address);
  if (!emulator::is_shared(p, sizeof(T))) emulator::fail("%p is not in shared memory", static_cast<const void*>(p));
  if (address % sizeof(T) != 0) emulator::fail("%p is not aligned", static_cast<const void*>(p));
  return *p;
}
inline float load_shared(SharedAddress address) { return shared_at<const float>(address); }
inline float4 load_shared_4(SharedAddress address) { return shared_at<const float4>(address); }
inline void store_shared(SharedAddress address, float value) { shared_at<float>(address) = value; }

inline void cp_async_4(void* shared, const void* global) { emulator::start_copy(shared, global, 4); }
inline void cp_async_4(SharedAddress shared, const void* global) {
  cp_async_4(reinterpret_cast<void*>(shared), global);
}
template <class T>
void keep(T&) {}

template <int kBytes>
void cp_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  emulator::start_copy(shared, global, kBytes);
}
template <int kBytes>
void cp_async_if(bool exists, void* shared, const void* global) {
  cp_async<kBytes>(shared, exists ? global : nullptr);
}
inline void cp_async_commit() { ++emulator::current->group; }
template <int kPending>
void cp_async_wait() {
  emulator::finish_copies(kPending);
}

inline void load_matrices_of_warp(std::uint32_t (&d)[4], const void* row, emulator::Site site,
                                  void (*load_matrices)(void* const*, std::uint32_t)) {
  if (!emulator::is_shared(row, 16)) emulator::fail("ldmatrix: row %p is not in shared memory", row);
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) emulator::fail("ldmatrix: row %p is not aligned", row);
  emulator::LoadMatrix load{};
  std::memcpy(load.row, row, sizeof load.row);
  emulator::warp_collective(emulator::kWholeWarp, "ldmatrix", site, &load, load_matrices, false);
  std::memcpy(d, load.loaded, sizeof load.loaded);
}
inline void ldmatrix_x4(std::uint32_t (&d)[4], const void* row, emulator::Site site = emulator::Site::here()) {
  load_matrices_of_warp(d, row, site, emulator::load_matrices);
}
inline void ldmatrix_x4_transposed(std::uint32_t (&d)[4], const void* row,
                                   emulator::Site site = emulator::Site::here()) {
  load_matrices_of_warp(d, row, site, emulator::load_matrices_transposed);
}

inline void mma_fp16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     emulator::Site site = emulator::Site::here()) {
  emulator::MultiplyTile tile{a, b, d};
  emulator::warp_collective(emulator::kWholeWarp, "mma", site, &tile, emulator::multiply_fp16, false);
}
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     emulator::Site site = emulator::Site::here()) {
  emulator::MultiplyTile tile{a, b, d};
  emulator::warp_collective(emulator::kWholeWarp, "mma", site, &tile, emulator::multiply_bf16, false);
}

inline std::uint32_t pack_fp16(float low, float high) {
  return __half_as_ushort(__float2half_rn(low)) | static_cast<std::uint32_t>(__half_as_ushort(__float2half_rn(high)))
                                                      << 16;
}
inline std::uint32_t pack_bf16(float low, float high) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(low)) |
         static_cast<std::uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

inline std::uint32_t cluster_rank() { return emulator::current->block->rank; }

using ClusterAddress = char*;
inline ClusterAddress map_to_block(const void* shared, std::uint32_t rank) {
  return static_cast<char*>(emulator::map_to_block(shared, rank));
}
inline void store_to_cluster(ClusterAddress address, float value) {
  emulator::check_cluster_store(address, sizeof value);
  *reinterpret_cast<float*>(address) = value;
}
inline void cluster_arrive(emulator::Site site = emulator::Site::here()) { emulator::cluster_arrive(site); }
inline void cluster_wait(emulator::Site site = emulator::Site::here()) { emulator::cluster_wait(site); }

struct alignas(8) TransactionBarrier {
  std::uint64_t state;
};
inline void init_barrier(TransactionBarrier& barrier) { emulator::init_bytes_barrier(&barrier); }
inline void expect_bytes(SharedAddress barrier, int bytes) {
  emulator::expect_bytes(reinterpret_cast<const void*>(barrier), bytes);
}
inline void wait_for_bytes(SharedAddress barrier, unsigned parity, emulator::Site site = emulator::Site::here()) {
  emulator::wait_for_bytes(reinterpret_cast<const void*>(barrier), parity, site);
}
inline void store_async(ClusterAddress address, float value, ClusterAddress barrier) {
  emulator::check_async_store(address, barrier);
  std::memset(address, 0xFF, sizeof value);
  emulator::store_async(address, std::bit_cast<std::uint32_t>(value), barrier);
}

inline float tanh_approx(float x) { return emulator::tanh_approx(x); }
inline float exp2_approx(float x) { return std::exp2(x); }
inline float reciprocal_approx(float x) { return emulator::reciprocal_approx(x); }

inline std::uint32_t count_arrival(std::uint32_t* counter, std::uint32_t last) {
  std::uint32_t before = __atomic_load_n(counter, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(counter, &before, before >= last ? 0 : before + 1, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_RELAXED)) {
  }
  return before;
}

inline void store_relaxed(std::int32_t* to, std::int32_t value) { __atomic_store_n(to, value, __ATOMIC_RELAXED); }

inline float min_or_nan(float a, float b) { return emulator::min_or_nan(a, b); }
inline float max_or_nan(float a, float b) { return emulator::max_or_nan(a, b); }

}  // namespace reel::cuda
