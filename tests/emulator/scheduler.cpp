// Who runs: prepares the threads of a cluster and switches between them. Compiled without sanitizers.
#include "tests/emulator/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/emulator/fiber.h"
#include "tests/emulator/machine.h"
#include "tests/emulator/sanitizers.h"

namespace reel::emulator {

thread_local Thread* current = nullptr;
thread_local std::unique_ptr<Machine> machine;

namespace {

int races = 0;  // that ThreadSanitizer has reported

#if defined(EMULATOR_TSAN)
constexpr unsigned kNoSync = 1;  // a switch orders nothing
#endif

/// Continues `thread`; returns when it waits, ends or fails.
void run(Thread& thread) {
  current = &thread;
#if defined(EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(&machine->asan_stack, thread.stack, kStackSize);
#endif
#if defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(thread.tsan_fiber, kNoSync);
#endif
  reel_switch_fiber(&machine->context, thread.context);
#if defined(EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(machine->asan_stack, nullptr, nullptr);
#endif
  current = nullptr;
}

void begin_thread() {
#if defined(EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &machine->stack_bottom, &machine->stack_size);
#endif
  acquire(&machine->begin_tag);
  (*machine->body)();
  release(&machine->end_tag);
  const Thread& thread = *current;
  RunningBlock& block = block_of(thread);
  if (thread.copies > 0) fail("it ends with %u cp.async never waited for", thread.copies);
  const auto check_nobody_waits = [](const Barrier& barrier, const char* name) {
    if (barrier.arrived == 0) return;
    fail("it ends while %u threads wait at %s, %s", barrier.arrived, name, to_text(barrier.site).c_str());
  };
  check_nobody_waits(block.barrier, "__syncthreads");
  if (thread.arrived) fail("it ends without cluster_wait, %s", to_text(machine->cluster_barrier.site).c_str());
  check_nobody_waits(machine->cluster_barrier, "cluster_arrive");
  if (thread.wrote_to_cluster) fail("it ends without a cluster barrier after it wrote to other blocks");
  thread.warp->done |= 1u << thread.lane;
  --block.alive;
  --machine->alive;
  leave(true);
}

Thread* take_lane(Warp& warp, int lane) {
  warp.ready &= ~(1u << lane);
  return warp.lanes[lane];
}

/// A random lane of the first warp that can run, in an order that changes now and then.
Thread* pick_random() {
  Machine& m = *machine;
  constexpr std::uint64_t kReorder = 32;
  if (m.next_random() % kReorder == 0) m.turn = m.next_random() % m.warps.size();
  for (std::size_t i = 0; i < m.warps.size(); ++i) {
    Warp& warp = m.warps[(m.turn + i) % m.warps.size()];
    if (warp.ready == 0) continue;
    std::uint32_t lanes = warp.ready;
    for (auto skip = m.next_random() % static_cast<unsigned>(std::popcount(lanes)); skip > 0; --skip)
      lanes &= lanes - 1;
    return take_lane(warp, std::countr_zero(lanes));
  }
  return nullptr;
}

/// The next thread to run, or null where all wait. A warp runs for as long as it can.
Thread* pick() {
  Machine& m = *machine;
  const Order order = options().order;
  if (order == Order::kRandom) return pick_random();
  for (std::size_t i = 0; i < m.warps.size(); ++i) {
    Warp& warp = m.warps[m.turn];
    if (warp.ready != 0) {
      return take_lane(warp,
                       order == Order::kForward ? std::countr_zero(warp.ready) : 31 - std::countl_zero(warp.ready));
    }
    m.turn = (m.turn + (order == Order::kForward ? 1 : m.warps.size() - 1)) % m.warps.size();
  }
  return nullptr;
}

std::string deadlock() {
  std::map<std::string, int> sites;
  for (const Thread* thread : machine->threads) {
    if (thread->waits_for != nullptr) ++sites[std::string(thread->waits_for) + ", " + to_text(thread->site).c_str()];
  }
  std::string report = "deadlock:";
  for (const auto& [site, count] : sites) report += " " + std::to_string(count) + " threads at " + site + ";";
  return report;
}

void prepare_shared(RunningBlock& block, char* shared, std::size_t dynamic) {
  block.shared = shared;
  block.dynamic_size = dynamic;
  poison(shared, kVariables + kGap);
  char* const begin = shared + kVariables + kGap;
  unpoison(begin, dynamic);
  volatile char* const bytes = begin;  // a loop that does not become memset, which ThreadSanitizer would see
  for (std::size_t i = 0; i < dynamic; ++i) bytes[i] = static_cast<char>(0xFF);
  poison(begin + dynamic, kGap);
}

void prepare_threads(RunningBlock& block) {
  Machine& m = *machine;
  const dim3& size = block.size;
  for (std::uint32_t i = 0; i < block.threads; ++i) {
    Thread& t = m.stacks.thread(m.threads.size());
    t.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    t.linear = i;
    t.lane = i % 32;
    t.warp = &block.warps[i / 32];
    t.block = &block;
    t.waits_for = nullptr;
    t.copies = t.group = t.arrived_in = 0;
    t.arrived = t.wrote_to_cluster = false;
    t.asan_stack = nullptr;
    t.context = make_fiber(t.stack + kStackSize - i * 832 % 4096, begin_thread);  // staggered over the cache's sets
    t.warp->lanes[t.lane] = &t;
    t.warp->exists |= 1u << t.lane;
    t.warp->ready |= 1u << t.lane;
    m.threads.push_back(&t);
  }
}

/// `linear` is the number of its first block.
void prepare_cluster(const LaunchConfig& config, std::uint32_t linear) {
  Machine& m = *machine;
  const std::size_t threads = config.block.x * config.block.y * config.block.z, warps = (threads + 31) / 32;
  constexpr std::size_t kAlignment = 128;
  const std::size_t size = (kVariables + kGap + config.shared + kGap + kAlignment - 1) / kAlignment * kAlignment;
  char* const shared = m.stacks.shared(size * config.cluster);
  if (kThreadSanitizer) m.past.emplace_back(std::move(m.blocks), std::move(m.warps));
  m.blocks.assign(config.cluster, RunningBlock());
  m.warps.assign(warps * config.cluster, Warp());
  m.threads.clear();
  for (std::uint32_t rank = 0; rank < config.cluster; ++rank) {
    RunningBlock& block = m.blocks[rank];
    const std::uint32_t number = linear + rank;
    block.index = {number % config.grid.x, number / config.grid.x % config.grid.y,
                   number / (config.grid.x * config.grid.y)};
    block.size = config.block;
    block.grid = config.grid;
    block.rank = rank;
    block.warps = std::span(m.warps).subspan(rank * warps, warps);
    block.threads = block.alive = threads;
    prepare_shared(block, shared + rank * size, config.shared);
    prepare_threads(block);
  }
  m.alive = m.threads.size();
  m.cluster_barrier = {};
  m.stores.clear();
  m.arrived_stores = 0;
  if (config.cluster > 1) m.stores.reserve(kMaxStores);  // no thread allocates memory
  m.turn = options().order == Order::kReverse ? m.warps.size() - 1 : 0;
  release(&m.begin_tag);
}

/// Threads that an error left behind still come before the end of the launch.
void order_abandoned_threads() {
#if defined(EMULATOR_TSAN)
  for (const Thread* thread : machine->threads) {
    if ((thread->warp->done >> thread->lane & 1) != 0) continue;
    __tsan_switch_to_fiber(thread->tsan_fiber, kNoSync);
    release(&machine->end_tag);
    __tsan_switch_to_fiber(machine->tsan_fiber, kNoSync);
  }
#endif
}

void run_cluster(const LaunchConfig& config, std::uint32_t linear) {
  Machine& m = *machine;
  prepare_cluster(config, linear);
  while (m.alive > 0 && m.error.empty()) {
    constexpr std::uint64_t kDelay = 4;
    if (options().order == Order::kRandom && stores_under_way() && m.next_random() % kDelay == 0) deliver_store();
    if (Thread* const next = pick()) {
      run(*next);
    } else if (stores_under_way()) {
      deliver_store();
    } else {
      m.error = deadlock();
    }
  }
  if (m.error.empty() && stores_under_way()) m.error = "st.async: a store that no block has waited for";
  if (!m.error.empty()) order_abandoned_threads();
  m.stacks.finish_cluster();
}

Options options_from_environment() {
  Options options;
  if (const char* const order = std::getenv("REEL_EMULATOR_ORDER")) {
    options.order = std::strcmp(order, "reverse") == 0  ? Order::kReverse
                    : std::strcmp(order, "random") == 0 ? Order::kRandom
                                                        : Order::kForward;
  }
  if (const char* const seed = std::getenv("REEL_EMULATOR_SEED")) options.seed = std::strtoull(seed, nullptr, 10);
  return options;
}

void check(const LaunchConfig& c) {
  const std::uint64_t threads = std::uint64_t{c.block.x} * c.block.y * c.block.z;
  if (threads == 0 || threads > 1024) throw Error("launch: " + std::to_string(threads) + " threads a block");
  if (std::uint64_t{c.grid.x} * c.grid.y * c.grid.z == 0) throw Error("launch: an empty grid");
  if (c.cluster == 0 || c.cluster > kMaxCluster || c.grid.x % c.cluster != 0) {
    throw Error("launch: " + std::to_string(c.grid.x) + " blocks in clusters of " + std::to_string(c.cluster));
  }
  if (c.shared > kMaxDynamicShared) throw Error("launch: " + std::to_string(c.shared) + " bytes of shared memory");
  if (current != nullptr) throw Error("launch: from within a kernel");
}

}  // namespace

void leave(bool ends) {
  Thread& thread = *current;
#if defined(EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(ends ? nullptr : &thread.asan_stack, machine->stack_bottom, machine->stack_size);
#endif
  static_cast<void>(ends);
#if defined(EMULATOR_TSAN)
  __tsan_switch_to_fiber(machine->tsan_fiber, kNoSync);
#endif
  reel_switch_fiber(&thread.context, machine->context);
#if defined(EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(thread.asan_stack, &machine->stack_bottom, &machine->stack_size);
#endif
}

SiteText to_text(const Site& site) {
  const char* const slash = std::strrchr(site.file, '/');
  SiteText result;
  std::snprintf(result.text, sizeof result.text, "%s:%u", slash != nullptr ? slash + 1 : site.file, site.line);
  return result;
}

Options& options() {
  static Options options = options_from_environment();
  return options;
}

Substitute& substitute() {
  static Substitute substitute;
  return substitute;
}

void launch(const LaunchConfig& config, const KernelCall& call, const std::function<void()>& thread) {
  check(config);
  if (substitute() && substitute()(config, call)) return;
  if (machine == nullptr) machine = std::make_unique<Machine>();
  Machine& m = *machine;
  m.body = &thread;
  m.error.clear();
  m.random = (options().seed + 1) * 0x9E3779B97F4A7C15u;
#if defined(EMULATOR_TSAN)
  m.tsan_fiber = __tsan_get_current_fiber();
#endif
  const int races_before = races;
  std::vector<std::uint32_t> clusters(config.grid.x * config.grid.y * config.grid.z / config.cluster);
  for (std::uint32_t i = 0; i < clusters.size(); ++i) clusters[i] = i * config.cluster;
  if (options().order == Order::kReverse) std::reverse(clusters.begin(), clusters.end());
  if (options().order == Order::kRandom) {
    for (std::size_t i = clusters.size(); i > 1; --i) std::swap(clusters[i - 1], clusters[m.next_random() % i]);
  }
  for (const std::uint32_t cluster : clusters) {
    run_cluster(config, cluster);
    if (!m.error.empty()) break;
  }
  acquire(&m.end_tag);
  m.past.clear();
  m.stacks.finish_launch(m.error.empty());
  if (!m.error.empty()) throw Error(m.error);
  if (races != races_before) throw Error(std::to_string(races - races_before) + " data races");
}

}  // namespace reel::emulator

#if defined(EMULATOR_TSAN)
extern "C" void __tsan_on_report(void*) { ++reel::emulator::races; }
#endif
