// One block of a kernel in execution: flow in execute.cpp, registers, memory and collectives in access.cpp.
#pragma once

#include <bit>
#include <cstring>
#include <map>
#include <memory>

#include "tests/ptx/module.h"

namespace reel::ptx {

constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

struct Copy {
  char* to;
  const char* from;  // or null: zeros
  int bytes, group;
};

struct Warp {
  std::vector<std::uint64_t> registers;  // [register][lane]
  std::size_t pc[32] = {};               // of each lane in the code
  std::uint32_t exists = 0, done = 0, at_barrier = 0, at_cluster_barrier = 0;
  bool arrived = false;     // at the cluster barrier, and has not waited
  unsigned arrived_in = 0;  // which phase
  std::vector<Copy> copies[32];
  int groups[32] = {};
  std::vector<char> local[32];
  unsigned first_thread = 0;
};

/// An mbarrier of one arrival, which says how many bytes the phase brings.
struct BytesBarrier {
  bool expects = false;
  std::int64_t missing = 0;
  unsigned phase = 0;
};

class BlockExecution;

/// What the blocks of a cluster share.
struct Cluster {
  std::vector<std::unique_ptr<BlockExecution>> blocks;
  unsigned arrived = 0, phase = 0;  // of its barrier
};

class BlockExecution {
 public:
  BlockExecution(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter, uint3 block,
                 Cluster& cluster)
      : kernel_(kernel),
        launch_(launch),
        parameter_(parameter),
        block_(block),
        cluster_(cluster),
        rank_(static_cast<unsigned>(cluster.blocks.size())),
        random_(launch.seed * (rank_ + 1)),
        threads_(launch.block.x * launch.block.y * launch.block.z),
        shared_size_(kernel.static_shared + launch.shared),
        shared_(new (std::align_val_t{128}) char[shared_size_ + 1]) {
    std::memset(shared_.get(), 0xFF, shared_size_);
    warps_.resize((threads_ + 31) / 32);
    for (unsigned t = 0; t < threads_; ++t) {
      Warp& warp = warps_[t / 32];
      warp.exists |= 1u << t % 32;
      warp.first_thread = t / 32 * 32;
      warp.registers.resize(static_cast<std::size_t>(kernel.registers) * 32, 0xBADBADBADBADBADBu);
      warp.local[t % 32].assign(kernel.local_bytes, static_cast<char>(0xFF));
    }
  }

  /// Every warp for some instructions; false where all wait or have ended.
  bool advance();
  bool ended() const;

 private:
  struct Delete {
    void operator()(char* data) const { ::operator delete[](data, std::align_val_t{128}); }
  };

  std::uint64_t next_random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ >> 11;
  }

  [[noreturn]] void fail(const Instruction& in, const std::string& what) const {
    throw Error("block " + std::to_string(block_.x) + ": " + what + ": " + in.text);
  }

  std::uint64_t& at(Warp& warp, int index, int lane) const {
    return warp.registers[static_cast<std::size_t>(index) * 32 + static_cast<std::size_t>(lane)];
  }

  std::uint64_t read(Warp& warp, const Operand& operand, int lane) const {
    if (operand.kind == Operand::Kind::kRegister) return at(warp, operand.index, lane);
    if (operand.kind != Operand::Kind::kSpecial) return operand.value;
    const unsigned t = warp.first_thread + static_cast<unsigned>(lane);
    const dim3& size = launch_.block;
    const unsigned values[] = {
        t % size.x, t / size.x % size.y, t / (size.x * size.y), block_.x,       block_.y, block_.z, size.x, size.y,
        size.z,     launch_.grid.x,      launch_.grid.y,        launch_.grid.z, rank_};
    return values[operand.index];
  }

  void write(Warp& warp, const Operand& operand, int lane, std::uint64_t value) const {
    if (operand.kind == Operand::Kind::kRegister) at(warp, operand.index, lane) = value;
  }

  template <class F>
  static void for_each(std::uint32_t lanes, const F& f) {
    for (; lanes != 0; lanes &= lanes - 1) f(std::countr_zero(lanes));
  }

  /// One instruction of the lanes that are furthest behind; false where all wait or have ended.
  bool step(Warp& warp);
  void execute(Warp& warp, const Instruction& in, std::uint32_t lanes);
  void barrier(Warp& warp, const Instruction& in, std::uint32_t lanes);
  void cluster_arrive(Warp& warp, const Instruction& in, std::uint32_t lanes);
  void cluster_wait(Warp& warp, const Instruction& in, std::uint32_t lanes) const;
  void end(Warp& warp, const Instruction& in, std::uint32_t lanes) const;
  void init_barrier(Warp& warp, const Instruction& in, int lane);
  void expect_bytes(Warp& warp, const Instruction& in, int lane);
  /// Whether the phase has ended that this lane waits for.
  bool has_ended(Warp& warp, const Instruction& in, int lane);
  void store_async(Warp& warp, const Instruction& in, int lane);
  /// The barrier at an address of this block's, which is an error where there is none.
  BytesBarrier& bytes_barrier(const Instruction& in, std::uint32_t address);
  void end_phase(const Instruction& in, BytesBarrier& barrier) const;
  void move(Warp& warp, const Instruction& in, int lane) const;
  void load(Warp& warp, const Instruction& in, int lane) const;
  void store(Warp& warp, const Instruction& in, int lane) const;
  void count(Warp& warp, const Instruction& in, int lane) const;
  void start_copy(Warp& warp, const Instruction& in, int lane) const;
  static void finish_copies(Warp& warp, int pending, int lane);
  /// The block whose shared memory a cluster address means.
  BlockExecution& target(const Instruction& in, std::uint32_t address) const;
  char* address(Warp& warp, const Instruction& in, Space space, const std::vector<Operand>& operand, int lane,
                std::size_t bytes) const;
  /// Shuffles and tensor core instructions: all 32 lanes at once.
  void collective(Warp& warp, const Instruction& in, std::uint32_t lanes) const;
  void multiply(Warp& warp, const Instruction& in) const;

  const Kernel& kernel_;
  const Launch& launch_;
  std::span<const std::byte> parameter_;
  uint3 block_;
  Cluster& cluster_;
  unsigned rank_;
  std::uint64_t random_;
  unsigned threads_;
  std::size_t shared_size_;
  std::unique_ptr<char[], Delete> shared_;
  std::vector<Warp> warps_;
  std::map<std::uint32_t, BytesBarrier> bytes_barriers_;  // by address
};

}  // namespace reel::ptx
