// Executes CUDA kernels on the CPU: every CUDA thread is a fiber, and runs until it waits for others. Blocks run one
// after the other, those of a cluster side by side. The order of warps, lanes and blocks is an option, so that a result
// which depends on it shows.
//
// Inline code here and in the headers beside is compiled with the sanitizers of the kernel that includes it, so that
// accesses to shared and global memory are seen; scheduler.cpp is compiled without.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>

namespace reel::emulator {

/// What a real GPU would do something undefined about: a broken protocol between threads.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Order { kForward, kReverse, kRandom };

/// From the environment: REEL_EMULATOR_ORDER=forward|reverse|random, REEL_EMULATOR_SEED=n.
struct Options {
  Order order = Order::kForward;
  std::uint64_t seed = 1;  // of kRandom
};
Options& options();

struct LaunchConfig {
  dim3 grid{1};
  dim3 block{1};
  std::size_t shared = 0;
  unsigned cluster = 1;  // blocks, along x
};

/// A kernel and its argument, as plain memory.
struct KernelCall {
  const void* kernel;
  const void* argument;
  std::size_t argument_size;
};

/// Runs `thread`, which is the call, once for every CUDA thread. Throws Error; under ThreadSanitizer also when a race
/// was reported.
void launch(const LaunchConfig& config, const KernelCall& call, const std::function<void()>& thread);

/// How a kernel is called whose type is forgotten.
struct KernelType {
  std::size_t argument_size;
  void (*call)(const void* kernel, const void* argument);
  void (*clear_padding)(void* argument);  // null where the compiler cannot
};
void register_kernel(const void* kernel, const KernelType& type);
/// Null where there is no such kernel.
const KernelType* find_kernel(const void* kernel);

/// Says, in `text`, what is at an address that a kernel or the host may not touch; empty if it does not know. Called in
/// a signal handler.
using DescribeAddress = void (*)(const void* address, char* text, std::size_t size);
void catch_bad_accesses(DescribeAddress describe);

/// What may run a launch instead (the interpreter in tests/ptx/); false: it does not want this one.
using Substitute = std::function<bool(const LaunchConfig&, const KernelCall&)>;
Substitute& substitute();

/// A line of a kernel. As a default argument, here() is the caller's.
struct Site {
  const char* file;
  unsigned line;

  static constexpr Site here(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {file, line};
  }
  friend bool operator==(const Site& a, const Site& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }
};

struct AsyncCopy {
  void* to;
  const void* from;  // or null: zeros
  std::uint32_t bytes, group;
};

struct Warp;
struct Block;

/// A CUDA thread.
struct Thread {
  uint3 index;
  std::uint32_t lane, linear;
  Warp* warp;
  Block* block;
  const char* waits_for;  // null while it runs
  Site site;              // where it waits
  std::uint32_t mask;     // with which lanes
  void* io;               // what it brings to a collective
  void* context;          // where its fiber goes on
  char* stack;
  void* asan_stack;
  void* tsan_fiber;
  static constexpr std::uint32_t kMaxCopies = 256;
  std::uint32_t copies, group;  // cp.async under way, groups committed
  AsyncCopy copy[kMaxCopies];
  // Of the cluster barrier: this thread has arrived and not waited; the phase it arrived in; it has written to other
  // blocks since.
  bool arrived, wrote_to_cluster;
  unsigned arrived_in;
};

struct Block {
  // as blockIdx, blockDim and gridDim
  uint3 index;
  dim3 size, grid;
  unsigned rank;  // in its cluster
};

/// The running thread.
extern thread_local Thread* current;

/// Ends the launch: launch() throws Error with this message and the thread's position.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void block_barrier(Site site);

/// All lanes of `mask` meet here, at the same site; the last one calls `combine(ios, mask)` on what each brought.
using Combine = void (*)(void* const* ios, std::uint32_t mask);
void warp_collective(std::uint32_t mask, const char* name, Site site, void* io, Combine combine, bool orders_memory);

/// This block's instance of a REEL_SHARED variable, filled with 0xFF: NaN in every floating-point format.
void* shared_variable(const void* key, std::size_t size);
void* dynamic_shared();
bool is_shared(const void* address, std::size_t bytes);

/// All threads of the cluster arrive, then wait for each other; every thread does one after the other.
void cluster_arrive(Site site);
void cluster_wait(Site site);
/// What has the offset of `shared` in the memory of block `rank` of the cluster.
void* map_to_block(const void* shared, unsigned rank);
/// Whether the running thread may write there now.
void check_cluster_store(const void* address, std::size_t bytes);

/// What <cuda_ptx.h> says of a TransactionBarrier. All threads of its block wait for every phase.
void init_bytes_barrier(const void* barrier);
void expect_bytes(const void* barrier, int bytes);
void wait_for_bytes(const void* barrier, unsigned parity, Site site);
/// Begins a store that arrives when the schedule wants it to, at the latest when nobody can go on without; until then
/// the caller has NaN there. check_async_store() comes before.
void check_async_store(const void* address, const void* barrier);
void store_async(void* address, std::uint32_t bits, const void* barrier);

}  // namespace reel::emulator
