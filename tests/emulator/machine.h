// The state of a launch, shared by scheduler.cpp (who runs), synchronization.cpp and cluster.cpp (who waits for whom).
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/emulator/scheduler.h"
#include "tests/emulator/stacks.h"

namespace reel::emulator {

struct Warp {
  std::uint32_t exists = 0, ready = 0, waiting = 0, done = 0;  // lanes, as bits
  Thread* lanes[32] = {};
  char tags[2] = {};  // happens-before of collectives that order memory, by phase
  unsigned phase = 0;
};

struct Barrier {
  std::uint32_t arrived = 0;
  Site site{};
  char tags[2] = {};
  unsigned phase = 0;
};

struct SharedVariable {
  const void* key;
  char* data;
};

/// One block of the cluster that runs; its shared memory is variables, a gap, dynamic shared memory, a gap.
struct RunningBlock : Block {
  std::span<Warp> warps;
  std::size_t threads = 0, alive = 0;
  Barrier barrier;
  char* shared = nullptr;
  std::size_t dynamic_size = 0, variables_size = 0, variable_count = 0;
  SharedVariable variables[32] = {};
};

/// One cluster at a time (a block, where there are none), and what lasts for a launch.
struct Machine {
  const std::function<void()>* body = nullptr;
  StackPool stacks;
  std::vector<RunningBlock> blocks;
  std::vector<Thread*> threads;
  std::vector<Warp> warps;
  Barrier cluster_barrier;
  std::size_t alive = 0;
  std::string error;

  std::size_t turn = 0;  // the warp that runs
  std::uint64_t random = 1;
  char begin_tag = 0, end_tag = 0;  // launch before its threads, threads before the launch's end
  void* context = nullptr;          // of the scheduler, with what the sanitizers know of it
  void* asan_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
  void* tsan_fiber = nullptr;

  std::uint64_t next_random() {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random >> 11;
  }
};

constexpr std::size_t kVariables = 48 * 1024, kGap = 64, kMaxDynamicShared = 227 * 1024;
constexpr unsigned kMaxCluster = 8;  // what every device with clusters can run

extern thread_local std::unique_ptr<Machine> machine;

inline RunningBlock& block_of(const Thread& thread) { return *static_cast<RunningBlock*>(thread.block); }

/// From the running thread back to the scheduler; returns when the thread is picked again, never if it `ends`.
void leave(bool ends);

/// The running thread waits until another one makes its lane ready.
void wait(const char* what, Site site);
void make_ready(Warp& warp, std::uint32_t lanes);
/// In random order the last one to arrive need not be the first to go on.
void maybe_yield();

/// "resident.cu:81"; without heap memory, which a thread that fails would leave behind.
struct SiteText {
  char text[96];
  const char* c_str() const { return text; }
};
SiteText to_text(const Site& site);

}  // namespace reel::emulator
