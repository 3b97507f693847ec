// Stores to other blocks of a cluster that are under way for a while, and the barriers that count their bytes. Compiled
// without sanitizers.
//
// Stricter than PTX: all threads of a block wait for every phase of its barriers, each once; a store is counted in the
// phase in which it began; more bytes than expected are an error.
#include "tests/emulator/machine.h"
#include "tests/emulator/sanitizers.h"

namespace reel::emulator {
namespace {

constexpr const char* kWait = "wait_for_bytes";

BytesBarrier* find(RunningBlock& block, const void* address) {
  for (std::size_t i = 0; i < block.bytes_barrier_count; ++i) {
    if (block.bytes_barriers[i].address == address) return &block.bytes_barriers[i];
  }
  return nullptr;
}

/// That of the running thread's block.
BytesBarrier& own_barrier(const void* address) {
  BytesBarrier* const barrier = find(block_of(*current), address);
  if (barrier == nullptr) fail("mbarrier: %p has not been initialised", address);
  return *barrier;
}

/// Ends the phase if all is there, or says what is wrong.
const char* end_phase(RunningBlock& block, BytesBarrier& barrier) {
  if (!barrier.expects) return nullptr;
  if (barrier.missing < 0) return "mbarrier: more bytes than expected";
  if (barrier.missing > 0) return nullptr;
  if (barrier.phase > 0 && barrier.waited < block.threads) return "mbarrier: a thread has missed a phase";
  ++barrier.phase;
  barrier.expects = false;
  barrier.waited = 0;
  for (Warp& warp : block.warps) {
    for (std::uint32_t lanes = warp.waiting; lanes != 0; lanes &= lanes - 1) {
      const int lane = std::countr_zero(lanes);
      const Thread& thread = *warp.lanes[lane];
      if (thread.waits_for == kWait && thread.io == &barrier) make_ready(warp, 1u << lane);
    }
  }
  return nullptr;
}

}  // namespace

void init_bytes_barrier(const void* address) {
  RunningBlock& block = block_of(*current);
  if (!is_shared(address, 8) || reinterpret_cast<std::uintptr_t>(address) % 8 != 0) {
    fail("mbarrier: %p is not 8 aligned bytes of this block's shared memory", address);
  }
  if (find(block, address) != nullptr) fail("mbarrier: %p has been initialised before", address);
  if (block.bytes_barrier_count == std::size(block.bytes_barriers)) {
    fail("more than %zu barriers of a block", std::size(block.bytes_barriers));
  }
  block.bytes_barriers[block.bytes_barrier_count++] = {.address = address,
                                                       .initialised_in = machine->cluster_barrier.phase};
}

void expect_bytes(const void* address, int bytes) {
  BytesBarrier& barrier = own_barrier(address);
  if (barrier.expects) fail("mbarrier: bytes are expected twice in a phase");
  barrier.expects = true;
  barrier.missing += bytes;
  if (const char* const error = end_phase(block_of(*current), barrier)) fail("%s", error);
}

void wait_for_bytes(const void* address, unsigned parity, Site site) {
  BytesBarrier& barrier = own_barrier(address);
  if (barrier.phase % 2 == parity) {
    current->io = &barrier;
    wait(kWait, site);
  } else if (barrier.phase == 0) {
    fail("%s, %s: for a phase before the first", kWait, to_text(site).c_str());
  }
  if (++barrier.waited > block_of(*current).threads) {
    fail("%s, %s: a thread waits twice for a phase", kWait, to_text(site).c_str());
  }
  acquire(&barrier.tags[(barrier.phase - 1) % 2]);
}

void check_async_store(const void* address, const void* barrier) {
  check_cluster_store(address, sizeof(std::uint32_t));
  RunningBlock& block = *owner_of(address, sizeof(std::uint32_t));
  const BytesBarrier* const found = find(block, barrier);
  if (found == nullptr) fail("st.async: block %u has not initialised an mbarrier at %p", block.rank, barrier);
  if (found->initialised_in == machine->cluster_barrier.phase) {
    fail("st.async: no cluster barrier since the mbarrier was initialised");
  }
  if (machine->stores.size() == kMaxStores) fail("st.async: more than %zu stores under way", kMaxStores);
}

void store_async(void* address, std::uint32_t bits, const void* barrier) {
  RunningBlock& block = *owner_of(address, sizeof bits);
  BytesBarrier& counts = *find(block, barrier);
  release(&counts.tags[counts.phase % 2]);
  machine->stores.push_back({static_cast<std::uint32_t*>(address), bits, &block, &counts, counts.phase});
}

bool stores_under_way() { return machine->stores.size() > machine->arrived_stores; }

void deliver_store() {
  Machine& m = *machine;
  const Order order = options().order;
  if (order == Order::kRandom) {
    std::swap(m.stores.back(), m.stores[m.arrived_stores + m.next_random() % (m.stores.size() - m.arrived_stores)]);
  }
  const AsyncStore store = order == Order::kForward ? m.stores[m.arrived_stores] : m.stores.back();
  if (order == Order::kForward) {
    ++m.arrived_stores;
  } else {
    m.stores.pop_back();
  }
  if (2 * m.arrived_stores >= m.stores.size()) {
    m.stores.erase(m.stores.begin(), m.stores.begin() + static_cast<std::ptrdiff_t>(m.arrived_stores));
    m.arrived_stores = 0;
  }
  if (store.block->alive == 0) {
    m.error = "st.async to block " + std::to_string(store.block->rank) + ", which has ended";
    return;
  }
  if (store.barrier->phase != store.phase) {
    m.error = "st.async to block " + std::to_string(store.block->rank) + ": the phase that it began in has ended";
    return;
  }
  *store.to = store.bits;
  store.barrier->missing -= static_cast<std::int64_t>(sizeof store.bits);
  if (const char* const error = end_phase(*store.block, *store.barrier)) {
    m.error = "block " + std::to_string(store.block->index.x) + ": " + error;
  }
}

}  // namespace reel::emulator
