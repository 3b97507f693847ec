// What instructions do to registers and memory, and what a warp does together.
#include <cuda_ptx.h>
#include "tests/ptx/block_execution.h"

namespace reel::ptx {

char* BlockExecution::address(Warp& warp, const Instruction& in, Space space, const std::vector<Operand>& operand,
                              int lane, std::size_t bytes) const {
  std::uint64_t address = read(warp, operand[0], lane) + operand[1].value;
  if (space == Space::kShared || space == Space::kCluster) address &= 0xFFFFFFFFu;
  if (address % bytes != 0) fail(in, "misaligned address");
  const auto within = [&](std::size_t size) {
    if (address + bytes > size) fail(in, "address " + std::to_string(address) + " of " + std::to_string(size));
  };
  switch (space) {
    case Space::kShared:
      within(shared_size_);
      return shared_.get() + address;
    case Space::kCluster: {
      const BlockExecution& block = target(in, static_cast<std::uint32_t>(address));
      address &= (1u << kRankShift) - 1;
      within(block.shared_size_);
      return block.shared_.get() + address;
    }
    case Space::kLocal:
      within(kernel_.local_bytes);
      return warp.local[lane].data() + address;
    case Space::kParameter:
      within(parameter_.size());
      return const_cast<char*>(reinterpret_cast<const char*>(parameter_.data())) + address;
    case Space::kGlobal:
      if (address < 4096) fail(in, "null pointer");
      return reinterpret_cast<char*>(address);
  }
  return nullptr;
}

BlockExecution& BlockExecution::target(const Instruction& in, std::uint32_t address) const {
  const std::uint32_t rank = address >> kRankShift == 0 ? rank_ : (address >> kRankShift) - 1;
  if (rank >= cluster_.blocks.size()) fail(in, "block " + std::to_string(rank) + " of the cluster");
  BlockExecution& block = *cluster_.blocks[rank];
  if (rank != rank_ && cluster_.phase == 0) fail(in, "before the first cluster barrier");
  if (block.ended()) fail(in, "block " + std::to_string(rank) + " has ended");
  return block;
}

void BlockExecution::move(Warp& warp, const Instruction& in, int lane) const {
  const auto parts = std::max(in.destination.size(), in.source.size());
  const auto bits = static_cast<unsigned>(8 * in.bytes) / static_cast<unsigned>(parts);
  if (parts == 1) return write(warp, in.destination[0], lane, read(warp, in.source[0], lane));
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t whole = in.source.size() == 1 ? read(warp, in.source[0], lane) : 0;
  for (unsigned i = 0; i < in.source.size() && in.source.size() > 1; ++i) {
    whole |= (read(warp, in.source[i], lane) & mask) << i * bits;
  }
  if (in.destination.size() == 1) return write(warp, in.destination[0], lane, whole);
  for (unsigned i = 0; i < parts; ++i) write(warp, in.destination[i], lane, whole >> i * bits & mask);
}

void BlockExecution::load(Warp& warp, const Instruction& in, int lane) const {
  const auto bytes = static_cast<std::size_t>(in.bytes);
  const char* const from = address(warp, in, in.space, in.source, lane, bytes * in.destination.size());
  for (std::size_t i = 0; i < in.destination.size(); ++i) {
    std::uint64_t value = 0;
    std::memcpy(&value, from + i * bytes, bytes);
    const unsigned shift = 64 - 8 * static_cast<unsigned>(bytes);
    if (in.sign_extended) value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << shift) >> shift);
    write(warp, in.destination[i], lane, value);
  }
}

void BlockExecution::store(Warp& warp, const Instruction& in, int lane) const {
  const auto bytes = static_cast<std::size_t>(in.bytes);
  char* const to = address(warp, in, in.space, in.destination, lane, bytes * in.source.size());
  for (std::size_t i = 0; i < in.source.size(); ++i) {
    const std::uint64_t value = read(warp, in.source[i], lane);
    std::memcpy(to + i * bytes, &value, bytes);
  }
}

void BlockExecution::count(Warp& warp, const Instruction& in, int lane) const {
  auto* const counter =
      reinterpret_cast<std::uint32_t*>(address(warp, in, Space::kGlobal, in.source, lane, sizeof(std::uint32_t)));
  const auto last = static_cast<std::uint32_t>(read(warp, in.source2[0], lane));
  write(warp, in.destination[0], lane, cuda::count_arrival(counter, last));
}

BytesBarrier& BlockExecution::bytes_barrier(const Instruction& in, std::uint32_t address) {
  const auto found = bytes_barriers_.find(address);
  if (found == bytes_barriers_.end()) fail(in, "no mbarrier at " + std::to_string(address));
  return found->second;
}

void BlockExecution::end_phase(const Instruction& in, BytesBarrier& barrier) const {
  if (!barrier.expects || barrier.missing > 0) return;
  if (barrier.missing < 0) fail(in, "more bytes than expected");
  barrier.expects = false;
  ++barrier.phase;
}

void BlockExecution::init_barrier(Warp& warp, const Instruction& in, int lane) {
  const char* const at = address(warp, in, Space::kShared, in.destination, lane, 8);
  if (read(warp, in.source[0], lane) != 1) fail(in, "only one arrival is supported");
  bytes_barriers_[static_cast<std::uint32_t>(at - shared_.get())] = {};
}

void BlockExecution::expect_bytes(Warp& warp, const Instruction& in, int lane) {
  const char* const at = address(warp, in, Space::kShared, in.destination, lane, 8);
  BytesBarrier& barrier = bytes_barrier(in, static_cast<std::uint32_t>(at - shared_.get()));
  if (barrier.expects) fail(in, "bytes are expected twice in a phase");
  barrier.expects = true;
  barrier.missing += static_cast<std::int32_t>(read(warp, in.source[0], lane));
  end_phase(in, barrier);
}

bool BlockExecution::has_ended(Warp& warp, const Instruction& in, int lane) {
  const char* const at = address(warp, in, Space::kShared, in.source, lane, 8);
  const BytesBarrier& barrier = bytes_barrier(in, static_cast<std::uint32_t>(at - shared_.get()));
  return (barrier.phase & 1) != (read(warp, in.source2[0], lane) & 1);
}

void BlockExecution::store_async(Warp& warp, const Instruction& in, int lane) {
  const auto there = [&](const std::vector<Operand>& operand) {
    return static_cast<std::uint32_t>(read(warp, operand[0], lane) + operand[1].value);
  };
  BlockExecution& block = target(in, there(in.destination));
  if (&block != &target(in, there(in.source2))) fail(in, "the mbarrier is another block's");
  store(warp, in, lane);
  BytesBarrier& barrier = block.bytes_barrier(in, there(in.source2) & ((1u << kRankShift) - 1));
  barrier.missing -= in.bytes;
  end_phase(in, barrier);
}

void BlockExecution::start_copy(Warp& warp, const Instruction& in, int lane) const {
  const auto bytes = static_cast<std::size_t>(in.bytes);
  char* const to = address(warp, in, Space::kShared, in.destination, lane, bytes);
  const std::uint64_t read_bytes = in.source2.empty() ? bytes : read(warp, in.source2[0], lane);
  if (read_bytes != 0 && read_bytes != bytes) fail(in, "part of a copy is supported neither as zeros nor as bytes");
  const char* const from = read_bytes == 0 ? nullptr : address(warp, in, Space::kGlobal, in.source, lane, bytes);
  std::memset(to, 0xFF, bytes);
  warp.copies[lane].push_back({to, from, in.bytes, warp.groups[lane]});
}

void BlockExecution::finish_copies(Warp& warp, int pending, int lane) {
  std::erase_if(warp.copies[lane], [&](const Copy& copy) {
    if (copy.group + pending >= warp.groups[lane]) return false;
    const auto bytes = static_cast<std::size_t>(copy.bytes);
    if (copy.from == nullptr) std::memset(copy.to, 0, bytes);
    if (copy.from != nullptr) std::memcpy(copy.to, copy.from, bytes);
    return true;
  });
}

/// Shuffles and tensor core instructions: all 32 lanes at once.
void BlockExecution::collective(Warp& warp, const Instruction& in, std::uint32_t lanes) const {
  if (lanes != kWholeWarp) fail(in, "not by the whole warp");
  void* ios[32];
  if (in.action == Action::kShuffle || in.action == Action::kShuffleXor) {
    emulator::Shuffle shuffles[32];
    for (int lane = 0; lane < 32; ++lane) {
      const auto word = [&](std::size_t i) { return static_cast<std::uint32_t>(read(warp, in.source[i], lane)); };
      // The upper bits of a lane's source are those of its own part of the warp, where it has any.
      const bool is_xor = in.action == Action::kShuffleXor;
      const std::uint32_t me = static_cast<std::uint32_t>(lane), part = word(2) >> 8, bound = word(2) & 255;
      if (bound != 31 || (is_xor && part != 0) || word(3) != kWholeWarp) fail(in, "some of a warp are not supported");
      shuffles[lane] = {read(warp, in.source[0], lane), (is_xor ? me ^ word(1) : (me & part) | (word(1) & ~part)) % 32};
      ios[lane] = &shuffles[lane];
    }
    emulator::exchange(ios, kWholeWarp);
    for (int lane = 0; lane < 32; ++lane) write(warp, in.destination[0], lane, shuffles[lane].value);
  } else if (in.action == Action::kLoadMatrix || in.action == Action::kLoadMatrixTransposed) {
    emulator::LoadMatrix loads[32];
    for (int lane = 0; lane < 32; ++lane) {
      std::memcpy(loads[lane].row, address(warp, in, Space::kShared, in.source, lane, 16), 16);
      ios[lane] = &loads[lane];
    }
    const bool transposed = in.action == Action::kLoadMatrixTransposed;
    (transposed ? emulator::load_matrices_transposed : emulator::load_matrices)(ios, kWholeWarp);
    for (int lane = 0; lane < 32; ++lane) {
      for (std::size_t i = 0; i < 4; ++i) write(warp, in.destination[i], lane, loads[lane].loaded[i]);
    }
  } else {
    multiply(warp, in);
  }
}

void BlockExecution::multiply(Warp& warp, const Instruction& in) const {
  std::uint32_t a[32][4], b[32][2];
  float d[32][4];
  emulator::MultiplyTile tiles[32];
  void* ios[32];
  for (int lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      a[lane][i] = static_cast<std::uint32_t>(read(warp, in.source[i], lane));
      d[lane][i] = std::bit_cast<float>(static_cast<std::uint32_t>(read(warp, in.source3[i], lane)));
    }
    for (std::size_t i = 0; i < 2; ++i) b[lane][i] = static_cast<std::uint32_t>(read(warp, in.source2[i], lane));
    tiles[lane] = {a[lane], b[lane], d[lane]};
    ios[lane] = &tiles[lane];
  }
  (in.action == Action::kMultiplyFp16 ? emulator::multiply_fp16 : emulator::multiply_bf16)(ios, kWholeWarp);
  for (int lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) write(warp, in.destination[i], lane, std::bit_cast<std::uint32_t>(d[lane][i]));
  }
}

}  // namespace reel::ptx
