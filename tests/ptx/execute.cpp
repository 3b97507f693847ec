// Runs a parsed kernel cluster by cluster. Lanes of a warp have their own program counters; those furthest behind go
// first, so that lanes which took different ways meet again. Shared memory and the targets of cp.async start as NaN.
#include <algorithm>

#include "tests/ptx/block_execution.h"

namespace reel::ptx {

bool BlockExecution::advance() {
  bool any = false;
  const std::size_t start = random_ == 0 ? 0 : next_random() % warps_.size();
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    Warp& warp = warps_[(start + i) % warps_.size()];
    std::uint64_t steps = random_ == 0 ? ~std::uint64_t{0} : next_random() % 100 + 1;
    while (steps-- > 0 && step(warp)) any = true;
  }
  return any;
}

bool BlockExecution::ended() const {
  return std::ranges::all_of(warps_, [](const Warp& warp) { return warp.done == warp.exists; });
}

bool BlockExecution::step(Warp& warp) {
  const std::uint32_t runnable = warp.exists & ~warp.done & ~warp.at_barrier & ~warp.at_cluster_barrier;
  if (runnable == 0) return false;
  std::size_t pc = ~std::size_t{0};
  for (int lane = 0; lane < 32; ++lane) {
    if ((runnable >> lane & 1) != 0) pc = std::min(pc, warp.pc[lane]);
  }
  const Instruction& in = kernel_.code.at(pc);
  std::uint32_t here = 0, lanes = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if ((runnable >> lane & 1) == 0 || warp.pc[lane] != pc) continue;
    here |= 1u << lane;
    if (in.predicate < 0 || ((at(warp, in.predicate, lane) & 1) != 0) != in.negated) lanes |= 1u << lane;
  }
  if (in.action == Action::kTryWait) {  // comes back when all may go on: nobody has to ask again
    bool ended = true;
    for_each(lanes, [&](int lane) { ended = ended && has_ended(warp, in, lane); });
    if (!ended) return false;
  }
  for_each(here, [&](int lane) { ++warp.pc[lane]; });
  execute(warp, in, lanes);
  return true;
}

void BlockExecution::execute(Warp& warp, const Instruction& in, std::uint32_t lanes) {
  switch (in.action) {
    case Action::kCompute:
      return for_each(lanes, [&](int lane) {
        const std::uint64_t result =
            in.compute(read(warp, in.source[0], lane), read(warp, in.source[1], lane), read(warp, in.source[2], lane));
        write(warp, in.destination[0], lane, result);
      });
    case Action::kMove:
      return for_each(lanes, [&](int lane) { move(warp, in, lane); });
    case Action::kLoad:
      return for_each(lanes, [&](int lane) { load(warp, in, lane); });
    case Action::kStore:
      return for_each(lanes, [&](int lane) { store(warp, in, lane); });
    case Action::kCount:
      return for_each(lanes, [&](int lane) { count(warp, in, lane); });
    case Action::kBranch:
      return for_each(lanes, [&](int lane) { warp.pc[lane] = static_cast<std::size_t>(in.target); });
    case Action::kReturn:
      return end(warp, in, lanes);
    case Action::kBarrier:
      return barrier(warp, in, lanes);
    case Action::kWarpBarrier:  // lanes that are ahead wait for the others anyway
      if (lanes != warp.exists) fail(in, "not by the whole warp");
      return;
    case Action::kClusterArrive:
      return cluster_arrive(warp, in, lanes);
    case Action::kClusterWait:
      return cluster_wait(warp, in, lanes);
    case Action::kInitBarrier:
      return for_each(lanes, [&](int lane) { init_barrier(warp, in, lane); });
    case Action::kExpectBytes:
      return for_each(lanes, [&](int lane) { expect_bytes(warp, in, lane); });
    case Action::kTryWait:
      return for_each(lanes, [&](int lane) { write(warp, in.destination[0], lane, 1); });
    case Action::kStoreAsync:
      return for_each(lanes, [&](int lane) { store_async(warp, in, lane); });
    case Action::kCopyAsync:
      return for_each(lanes, [&](int lane) { start_copy(warp, in, lane); });
    case Action::kCommit:
      return for_each(lanes, [&](int lane) { ++warp.groups[lane]; });
    case Action::kWait:
      return for_each(lanes, [&](int lane) { finish_copies(warp, in.target, lane); });
    default:
      return collective(warp, in, lanes);
  }
}

void BlockExecution::barrier(Warp& warp, const Instruction& in, std::uint32_t lanes) {
  warp.at_barrier |= lanes;
  unsigned waiting = 0, ended = 0;
  for (const Warp& other : warps_) {
    waiting += static_cast<unsigned>(std::popcount(other.at_barrier));
    ended += static_cast<unsigned>(std::popcount(other.done));
  }
  if (ended > 0) fail(in, "barrier after threads have ended");
  if (waiting < threads_) return;
  for (Warp& other : warps_) other.at_barrier = 0;
}

/// .aligned: all threads of a warp together.
void BlockExecution::cluster_arrive(Warp& warp, const Instruction& in, std::uint32_t lanes) {
  if (lanes != warp.exists) fail(in, "not by the whole warp");
  if (warp.arrived) fail(in, "it has arrived before and not waited");
  warp.arrived = true;
  warp.arrived_in = cluster_.phase;
  cluster_.arrived += static_cast<unsigned>(std::popcount(lanes));
  if (cluster_.arrived < threads_ * cluster_.blocks.size()) return;
  cluster_.arrived = 0;
  ++cluster_.phase;
  for (const auto& block : cluster_.blocks) {
    for (Warp& other : block->warps_) other.at_cluster_barrier = 0;
  }
}

void BlockExecution::cluster_wait(Warp& warp, const Instruction& in, std::uint32_t lanes) const {
  if (lanes != warp.exists) fail(in, "not by the whole warp");
  if (!warp.arrived) fail(in, "it has not arrived");
  warp.arrived = false;
  if (warp.arrived_in == cluster_.phase) warp.at_cluster_barrier = lanes;
}

void BlockExecution::end(Warp& warp, const Instruction& in, std::uint32_t lanes) const {
  warp.done |= lanes;
  if (warp.arrived || cluster_.arrived > 0) fail(in, "it ends within a cluster barrier");
  for_each(lanes, [&](int lane) {
    if (!warp.copies[lane].empty()) fail(in, "cp.async never waited for");
  });
}

namespace {

/// The cluster of these blocks along x.
void run_cluster(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter, uint3 first) {
  Cluster cluster;
  for (unsigned rank = 0; rank < launch.cluster; ++rank) {
    const uint3 block{first.x + rank, first.y, first.z};
    cluster.blocks.push_back(std::make_unique<BlockExecution>(kernel, launch, parameter, block, cluster));
  }
  const auto ended = [](const auto& block) { return block->ended(); };
  while (!std::ranges::all_of(cluster.blocks, ended)) {
    bool any = false;
    for (const auto& block : cluster.blocks) any |= block->advance();
    if (!any) throw Error(kernel.name + ": deadlock: threads ended that others wait for");
  }
}

}  // namespace

void execute(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter) {
  if (parameter.size() != kernel.parameter_bytes) {
    throw Error(kernel.name + ": parameter of " + std::to_string(parameter.size()) + " bytes, expected " +
                std::to_string(kernel.parameter_bytes));
  }
  for (unsigned z = 0; z < launch.grid.z; ++z) {
    for (unsigned y = 0; y < launch.grid.y; ++y) {
      for (unsigned x = 0; x < launch.grid.x; x += launch.cluster) run_cluster(kernel, launch, parameter, {x, y, z});
    }
  }
}

}  // namespace reel::ptx
