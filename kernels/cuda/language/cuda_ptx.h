// Every line of inline PTX, one small function each. Included as <cuda_ptx.h>, a name that the build resolves: here, or
// to the emulator's header of that name in the tests.
#pragma once

#include <cuda_language.h>

#include <cstdint>

namespace reel::cuda {

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// An address in the block's own shared memory that loops count on from. The compiler is not told where it comes from:
/// it would work it out anew in every turn, from the block's window of shared memory on.
using SharedAddress = std::uint32_t;

__device__ __forceinline__ SharedAddress opaque_address(const void* shared) {
  SharedAddress address = shared_address(shared);
  asm volatile("" : "+r"(address));
  return address;
}

/// Synchronises nothing: loads are not moved up past it, to where there are no registers for them.
__device__ __forceinline__ void hold_loads() { __syncwarp(); }

/// first + row * width, where a row is `bytes` long, as one instruction: the compiler would add a part of `first` last.
__device__ __forceinline__ const float* row_address(const float* first, int row, int bytes) {
  const float* address;
  asm volatile("mad.wide.s32 %0, %1, %2, %3;" : "=l"(address) : "r"(row), "r"(bytes), "l"(first));
  return address;
}

__device__ __forceinline__ float load_shared(SharedAddress address) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}

/// Four, 16-byte aligned.
__device__ __forceinline__ float4 load_shared_4(SharedAddress address) {
  float4 v;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

__device__ __forceinline__ void store_shared(SharedAddress address, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

/// The compiler has x in a register from here on: it does not work it out anew where it is used.
__device__ __forceinline__ void keep(unsigned& x) { asm volatile("" : "+r"(x)); }
/// The same of an address in global memory.
template <class T>
__device__ __forceinline__ void keep(T*& x) {
  std::size_t address = __cvta_generic_to_global(x);
  asm volatile("" : "+l"(address));
  x = static_cast<T*>(__cvta_global_to_generic(address));
}

/// Starts copying 4 bytes from global to shared memory; both addresses are multiples of 4.
__device__ __forceinline__ void cp_async_4(SharedAddress shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared), "l"(global) : "memory");
}
__device__ __forceinline__ void cp_async_4(void* shared, const void* global) {
  cp_async_4(shared_address(shared), global);
}

/// The same of kBytes, 4, 8 or 16; both addresses are multiples of it.
template <int kBytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(shared_address(shared)), "l"(global), "n"(kBytes)
               : "memory");
}

/// The same, or zeros in its place: whether there is something to copy. Else nothing is read.
template <int kBytes>
__device__ __forceinline__ void cp_async_if(bool exists, void* shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)), "l"(global), "n"(kBytes),
               "r"(exists ? kBytes : 0)
               : "memory");
}

/// The copies that this thread started since the last commit become a group.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most kPending of this thread's groups, the newest, are still under way.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Four 8x8 matrices of 16-bit elements; lanes 8i..8i+7 give the addresses of the rows of matrix i, 16 bytes each.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row))
               : "memory");
}
/// The same of each matrix' transpose.
__device__ __forceinline__ void ldmatrix_x4_transposed(std::uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d [16, 8] += a [16, 16] . b [16, 8] of one warp: fp16 factors, fp32 sums; the fragments of mma.m16n8k16.
__device__ __forceinline__ void mma_fp16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The same with bfloat16 factors.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Two numbers rounded to fp16, `low` in the low half.
__device__ __forceinline__ std::uint32_t pack_fp16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// The same to bfloat16.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// This block's number in its cluster.
__device__ __forceinline__ std::uint32_t cluster_rank() {
  std::uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/// An address in the shared memory of any block of the cluster.
using ClusterAddress = std::uint32_t;

/// Where block `rank` of the cluster has what this block has at `shared`.
__device__ __forceinline__ ClusterAddress map_to_block(const void* shared, std::uint32_t rank) {
  ClusterAddress address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(shared)), "r"(rank));
  return address;
}

/// To other blocks only between two cluster barriers: they must have started, and must not end before.
__device__ __forceinline__ void store_to_cluster(ClusterAddress address, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

/// The cluster barrier in two halves. What a thread wrote before it arrives is seen by every thread of the cluster that
/// has waited; writes between the halves are not, and nobody waits for them. All threads of a warp call it together.
__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

/// Counts, in phases, the bytes that store_async() brings to its block (PTX ISA, mbarrier). A phase ends when it has
/// been said how many there will be and all are there, in whatever order.
struct alignas(8) TransactionBarrier {
  std::uint64_t state;
};

/// By one thread, before a barrier after which all others of the cluster use it.
__device__ __forceinline__ void init_barrier(TransactionBarrier& barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barrier)) : "memory");
}

/// Says how many bytes the phase brings: once in each, by a thread that has waited for the one before.
__device__ __forceinline__ void expect_bytes(SharedAddress barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

/// Waits for the end of the phase of this parity: that of the first one is 0. What was stored until then is seen.
__device__ __forceinline__ void wait_for_bytes(SharedAddress barrier, unsigned parity) {
  std::uint32_t ended;
  do {
    asm volatile(
        "{.reg .pred %%ended;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %%ended, [%1], %2;\n"
        "selp.u32 %0, 1, 0, %%ended;}"
        : "=r"(ended)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (ended == 0);
}

/// Starts storing to a block of the cluster, which has begun and does not end before it has waited for `barrier`, its
/// own, to count these bytes. Nobody else waits for them.
__device__ __forceinline__ void store_async(ClusterAddress address, float value, ClusterAddress barrier) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(address),
               "f"(value), "r"(barrier)
               : "memory");
}

/// The hardware's tanh, within 2^-10.987 (PTX ISA, tanh.approx.f32).
__device__ __forceinline__ float tanh_approx(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 2^x, within two units in the last place (PTX ISA, ex2.approx.ftz.f32).
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// 1 / x of a normal x with a normal result, within 1 ulp; of +Inf, 0 (PTX ISA, rcp.approx.ftz.f32).
__device__ __forceinline__ float reciprocal_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Counts in global memory from 0 to `last` and then from 0 again; the count before. What a thread wrote before it
/// counts, others see that count after it.
__device__ __forceinline__ std::uint32_t count_arrival(std::uint32_t* counter, std::uint32_t last) {
  std::uint32_t before;
  asm volatile("atom.acq_rel.gpu.inc.u32 %0, [%1], %2;" : "=r"(before) : "l"(counter), "r"(last) : "memory");
  return before;
}

/// To global memory, where other threads may store the same at the same time.
__device__ __forceinline__ void store_relaxed(std::int32_t* to, std::int32_t value) {
  asm volatile("st.relaxed.gpu.s32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}

/// As fminf and fmaxf, but NaN where either is.
__device__ __forceinline__ float min_or_nan(float a, float b) {
  float least;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
  return least;
}
__device__ __forceinline__ float max_or_nan(float a, float b) {
  float most;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
  return most;
}

}  // namespace reel::cuda
