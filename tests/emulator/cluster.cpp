// What blocks of a cluster do together: their barrier, and addresses in each other's shared memory. Compiled without
// sanitizers.
//
// Stricter than PTX: a thread that has ended does not count as arrived. Whatever the schedule, a thread may write to
// other blocks only after a first cluster barrier (until then they may not have started) and meets another one before
// it ends (until then they may have ended).
#include "tests/emulator/machine.h"
#include "tests/emulator/sanitizers.h"

namespace reel::emulator {
namespace {

constexpr const char* kWait = "cluster_wait";

}  // namespace

RunningBlock* owner_of(const void* address, std::size_t bytes) {
  const auto* const data = static_cast<const char*>(address);
  for (RunningBlock& block : machine->blocks) {
    const char* const end = block.shared + kVariables + kGap + block.dynamic_size;
    if (data >= block.shared && data + bytes <= end) return &block;
  }
  return nullptr;
}

void cluster_arrive(Site site) {
  Machine& m = *machine;
  Thread& thread = *current;
  Barrier& barrier = m.cluster_barrier;
  if (thread.arrived) fail("cluster_arrive, %s: it has arrived before and not waited", to_text(site).c_str());
  if (m.alive < m.threads.size()) fail("cluster_arrive, %s: other threads have ended", to_text(site).c_str());
  if (barrier.arrived > 0 && !(barrier.site == site)) {
    fail("divergent cluster barrier: it is at %s, others at %s", to_text(site).c_str(), to_text(barrier.site).c_str());
  }
  barrier.site = site;
  thread.arrived = true;
  thread.arrived_in = barrier.phase;
  thread.wrote_to_cluster = false;
  release(&barrier.tags[barrier.phase % 2]);
  if (++barrier.arrived < m.threads.size()) return;
  barrier.arrived = 0;
  ++barrier.phase;
  for (Warp& warp : m.warps) {
    for (std::uint32_t lanes = warp.waiting; lanes != 0; lanes &= lanes - 1) {
      const int lane = std::countr_zero(lanes);
      if (warp.lanes[lane]->waits_for == kWait) make_ready(warp, 1u << lane);
    }
  }
  maybe_yield();
}

void cluster_wait(Site site) {
  Thread& thread = *current;
  const Barrier& barrier = machine->cluster_barrier;
  if (!thread.arrived) fail("cluster_wait, %s: it has not arrived", to_text(site).c_str());
  if (thread.arrived_in == barrier.phase) wait(kWait, site);
  thread.arrived = false;
  acquire(&machine->cluster_barrier.tags[thread.arrived_in % 2]);
}

void* map_to_block(const void* shared, unsigned rank) {
  const std::vector<RunningBlock>& blocks = machine->blocks;
  if (rank >= blocks.size()) fail("mapa: block %u of a cluster of %zu", rank, blocks.size());
  if (!is_shared(shared, 1)) fail("mapa: %p is not in this block's shared memory", shared);
  return blocks[rank].shared + (static_cast<const char*>(shared) - block_of(*current).shared);
}

void check_cluster_store(const void* address, std::size_t bytes) {
  const RunningBlock* const block = owner_of(address, bytes);
  if (block == nullptr) fail("st.shared::cluster: %p is not in the cluster's shared memory", address);
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) fail("st.shared::cluster: %p is not aligned", address);
  if (block == current->block) return;
  if (machine->cluster_barrier.phase == 0) {
    fail("st.shared::cluster to block %u before the first cluster barrier: it may not have started", block->rank);
  }
  if (block->alive == 0) fail("st.shared::cluster to block %u, which has ended", block->rank);
  current->wrote_to_cluster = true;
}

}  // namespace reel::emulator
