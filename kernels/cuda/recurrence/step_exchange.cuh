// What the blocks of a cluster send each other step by step, without a barrier of the cluster: each counts what it
// gets.
//
// A block has two buffers, of which a step reads one while the other is filled for the next step by store_async(), and
// a TransactionBarrier for each. In every step, all threads of the cluster
//   1. read what the step before has brought to their block,
//   2. send what depends on all that their block has read, in every step as many bytes to every block, and
//   3. wait until their block has all bytes of the step.
// A thread that has waited knows thereby that every block has read its buffer, and may send to that one in the next
// step. Nothing of the step after next is sent before every block has waited for this one, so that a buffer's barrier
// never counts bytes of two of its phases, and no thread misses one. A single barrier for both buffers would: a block
// may send what the next step brings while another still gets what this one does.
#pragma once

#include <cuda_ptx.h>

#include <type_traits>

namespace reel::cuda {

/// Of kBlocks of a cluster, or of one block, whose threads meet at its barrier instead.
template <int kBlocks>
class StepExchange {
 public:
  using Barriers = TransactionBarrier[2];

  /// An element of the second buffer in some block, which the first step fills, and the barrier that counts it.
  struct Target {
    std::conditional_t<(kBlocks > 1), ClusterAddress, SharedAddress> element;
    ClusterAddress barrier;
  };

  /// By all threads of the cluster; from here on all blocks have begun.
  __device__ explicit StepExchange(Barriers& barriers) : barriers_(barriers), filled_(opaque_address(&barriers[1])) {
    if constexpr (kBlocks > 1) {
      if (threadIdx.x == 0) {
        for (TransactionBarrier& barrier : barriers) init_barrier(barrier);
      }
      cluster_arrive();
      cluster_wait();
    } else {
      __syncthreads();
    }
  }
  /// The barrier that counts this step's.
  __device__ SharedAddress barrier() const { return filled_; }
  __device__ static int rank() { return kBlocks > 1 ? static_cast<int>(cluster_rank()) : 0; }
  __device__ Target target(const float& element, int block) const {
    if constexpr (kBlocks > 1) {
      const auto rank = static_cast<unsigned>(block);
      return {map_to_block(&element, rank), map_to_block(&barriers_[1], rank)};
    } else {
      return {opaque_address(&element), {}};
    }
  }
  __device__ void send(const Target& target, int offset, float value) const {
    if constexpr (kBlocks > 1) {
      store_async(target.element + offset, value, target.barrier);
    } else {
      store_shared(target.element + offset, value);
    }
  }
  /// From the buffer that was filled to the other one, `to_other` bytes further.
  __device__ void turn(Target& target, int to_other) const {
    target.element += to_other;
    if (kBlocks > 1) target.barrier += to_other_;
  }
  /// Until all bytes are there that the step brings to this block.
  __device__ void wait(int bytes) {
    if constexpr (kBlocks > 1) {
      if (threadIdx.x == 0) expect_bytes(filled_, bytes);
      wait_for_bytes(filled_, steps_ / 2 % 2);
      filled_ += to_other_;
      to_other_ = -to_other_;
      ++steps_;
    } else {
      __syncthreads();
    }
  }
  /// Before the end: others may still send.
  __device__ static void finish() {
    if constexpr (kBlocks > 1) {
      cluster_arrive();
      cluster_wait();
    }
  }

 private:
  Barriers& barriers_;
  SharedAddress filled_;  // the barrier of the buffer that is filled
  int to_other_ = -static_cast<int>(sizeof(TransactionBarrier));
  unsigned steps_ = 0;
};

}  // namespace reel::cuda
