// What threads call: barriers, collectives, shared memory. Compiled without sanitizers.
#include <cstdarg>
#include <cstdio>

#include "tests/emulator/machine.h"
#include "tests/emulator/sanitizers.h"

namespace reel::emulator {
namespace {

std::uint32_t bit_of(const Thread& thread) { return 1u << thread.lane; }

/// Not memset, which ThreadSanitizer would take for an access of the running thread.
void fill_with_nan(char* memory, std::size_t size) {
  asm volatile("rep stosb" : "+D"(memory), "+c"(size) : "a"(0xFF) : "memory");
}

void check_lanes(std::uint32_t mask, const char* name, Site site) {
  Thread& thread = *current;
  Warp& warp = *thread.warp;
  const auto check_none = [&](std::uint32_t lanes, const char* what) {
    if (lanes != 0) fail("%s, %s: lanes %08x of the mask %s", name, to_text(site).c_str(), lanes, what);
  };
  if ((mask & bit_of(thread)) == 0) fail("%s, %s: it is not in the mask %08x", name, to_text(site).c_str(), mask);
  check_none(mask & warp.done, "have ended");
  check_none(mask & ~warp.exists, "do not exist");
  const std::uint32_t others = mask & warp.waiting;
  if (others == 0) return;
  const Thread& other = *warp.lanes[std::countr_zero(others)];
  if (other.waits_for != name || other.mask != mask || !(other.site == site)) {
    fail("divergence: it is at %s, %s, lane %u at %s, %s", name, to_text(site).c_str(), other.lane, other.waits_for,
         to_text(other.site).c_str());
  }
}

}  // namespace

void make_ready(Warp& warp, std::uint32_t lanes) {
  warp.ready |= lanes;
  warp.waiting &= ~lanes;
}

void wait(const char* what, Site site) {
  Thread& thread = *current;
  thread.waits_for = what;
  thread.site = site;
  thread.warp->waiting |= bit_of(thread);
  leave(false);
  thread.waits_for = nullptr;
}

void maybe_yield() {
  if (options().order != Order::kRandom) return;
  current->warp->ready |= bit_of(*current);
  leave(false);
}

void fail(const char* format, ...) {
  char message[512];
  std::va_list args;
  va_start(args, format);
  std::vsnprintf(message, sizeof message, format, args);
  va_end(args);
  const Thread& thread = *current;
  const uint3 block = thread.block->index;
  machine->error = "block " + std::to_string(block.x) + " thread " + std::to_string(thread.linear) + ": " + message;
  leave(true);
  __builtin_unreachable();
}

void block_barrier(Site site) {
  RunningBlock& block = block_of(*current);
  Barrier& barrier = block.barrier;
  if (block.alive < block.threads) fail("__syncthreads, %s: other threads have ended", to_text(site).c_str());
  if (barrier.arrived > 0 && !(barrier.site == site)) {
    fail("divergent barrier: it is at %s, others at %s", to_text(site).c_str(), to_text(barrier.site).c_str());
  }
  barrier.site = site;
  char* const tag = &barrier.tags[barrier.phase % 2];
  release(tag);
  if (++barrier.arrived < block.threads) {
    wait("__syncthreads", site);
  } else {
    barrier.arrived = 0;
    ++barrier.phase;
    for (Warp& warp : block.warps) make_ready(warp, warp.waiting);  // all of them wait here
    maybe_yield();
  }
  acquire(tag);
}

void warp_collective(std::uint32_t mask, const char* name, Site site, void* io, Combine combine, bool orders_memory) {
  Thread& thread = *current;
  Warp& warp = *thread.warp;
  check_lanes(mask, name, site);
  thread.mask = mask;
  thread.io = io;
  char* const tag = &warp.tags[warp.phase % 2];
  if (orders_memory) release(tag);
  if (((warp.waiting | bit_of(thread)) & mask) != mask) {
    wait(name, site);
  } else {
    void* ios[32] = {};
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) ios[lane] = warp.lanes[lane]->io;
    }
    combine(ios, mask);
    if (orders_memory) ++warp.phase;
    make_ready(warp, mask & ~bit_of(thread));
    maybe_yield();
  }
  if (orders_memory) acquire(tag);
}

void* shared_variable(const void* key, std::size_t size) {
  RunningBlock& block = block_of(*current);
  for (std::size_t i = 0; i < block.variable_count; ++i) {
    if (block.variables[i].key == key) return block.variables[i].data;
  }
  constexpr std::size_t kAlignment = 128;
  const std::size_t begin = (block.variables_size + kGap + kAlignment - 1) / kAlignment * kAlignment;
  if (begin + size > kVariables) fail("more than 48 KiB of REEL_SHARED variables");
  if (block.variable_count == std::size(block.variables))
    fail("more than %zu REEL_SHARED variables", std::size(block.variables));
  char* const data = block.shared + begin;
  unpoison(data, size);
  fill_with_nan(data, size);
  block.variables_size = begin + size;
  block.variables[block.variable_count++] = {key, data};
  return data;
}

void* dynamic_shared() { return block_of(*current).shared + kVariables + kGap; }

bool is_shared(const void* address, std::size_t bytes) {
  const auto* const data = static_cast<const char*>(address);
  const RunningBlock& block = block_of(*current);
  return data >= block.shared && data + bytes <= block.shared + kVariables + kGap + block.dynamic_size;
}

}  // namespace reel::emulator
