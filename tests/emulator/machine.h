// The state of a launch, shared by scheduler.cpp (who runs), synchronization.cpp and cluster.cpp (who waits for whom).
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulator/scheduler.h"
#include "tests/emulator/stacks.h"

namespace reel::emulator {

struct RunningBlock;

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

/// A TransactionBarrier, by its address in its block's shared memory.
struct BytesBarrier {
  const void* address;
  unsigned initialised_in;  // which phase of the cluster's barrier
  unsigned phase = 0;
  bool expects = false;      // it has been said how many bytes the phase brings
  std::int64_t missing = 0;  // of them; below 0 what came before that was said
  std::size_t waited = 0;    // threads that have waited for the phase before
  char tags[2] = {};         // happens-before, by phase
};

/// A store to another block's shared memory that has not arrived.
struct AsyncStore {
  std::uint32_t* to;
  std::uint32_t bits;
  RunningBlock* block;
  BytesBarrier* barrier;
  unsigned phase;  // of the barrier when the store began
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
  std::size_t bytes_barrier_count = 0;
  BytesBarrier bytes_barriers[4] = {};
};

/// One cluster at a time (a block, where there are none), and what lasts for a launch.
struct Machine {
  const std::function<void()>* body = nullptr;
  StackPool stacks;
  std::vector<RunningBlock> blocks;
  std::vector<Thread*> threads;
  std::vector<Warp> warps;
  // Those that have ended, under ThreadSanitizer: a barrier at the address of theirs would order one block after
  // another.
  std::vector<std::pair<std::vector<RunningBlock>, std::vector<Warp>>> past;
  Barrier cluster_barrier;
  std::size_t alive = 0;
  std::string error;
  std::vector<AsyncStore> stores;  // under way, the oldest first
  std::size_t arrived_stores = 0;  // of them, those at the front that have arrived

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
constexpr std::size_t kMaxStores = 1 << 18;  // under way: twice those of a step of cluster.cu, some have arrived
constexpr unsigned kMaxCluster = 8;          // what every device with clusters can run

extern thread_local std::unique_ptr<Machine> machine;

inline RunningBlock& block_of(const Thread& thread) { return *static_cast<RunningBlock*>(thread.block); }

/// From the running thread back to the scheduler; returns when the thread is picked again, never if it `ends`.
void leave(bool ends);

/// The running thread waits until another one makes its lane ready.
void wait(const char* what, Site site);
void make_ready(Warp& warp, std::uint32_t lanes);
/// In random order the last one to arrive need not be the first to go on.
void maybe_yield();

/// The block whose shared memory holds all these bytes, or null.
RunningBlock* owner_of(const void* address, std::size_t bytes);
bool stores_under_way();
/// Lets one arrive: the oldest, the newest or any, by the order of threads.
void deliver_store();
/// "resident.cu:81"; without heap memory, which a thread that fails would leave behind.
struct SiteText {
  char text[96];
  const char* c_str() const { return text; }
};
SiteText to_text(const Site& site);

}  // namespace reel::emulator
