// Runs a parsed kernel block by block. Lanes of a warp have their own program counters; those furthest behind go first,
// so that lanes which took different ways meet again. Shared memory and the targets of cp.async start as NaN.
#include <bit>
#include <cstring>
#include <memory>

#include "tests/emulator/ptx.h"
#include "tests/ptx/module.h"

namespace reel::ptx {
namespace {

constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

struct Copy {
  char* to;
  const char* from;
  int bytes, group;
};

struct Warp {
  std::vector<std::uint64_t> registers;  // [register][lane]
  std::size_t place[32] = {};            // of each lane in the code
  std::uint32_t exists = 0, done = 0, at_barrier = 0;
  std::vector<Copy> copies[32];
  int groups[32] = {};
  std::vector<char> local[32];
  unsigned first_thread = 0;
};

class BlockExecution {
 public:
  BlockExecution(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter, uint3 block)
      : kernel_(kernel),
        launch_(launch),
        parameter_(parameter),
        block_(block),
        random_(launch.seed),
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

  void run() {
    for (unsigned ended = 0; ended < threads_;) {
      bool any = false;
      const std::size_t start = random_ == 0 ? 0 : next_random() % warps_.size();
      for (std::size_t i = 0; i < warps_.size(); ++i) {
        Warp& warp = warps_[(start + i) % warps_.size()];
        std::uint64_t steps = random_ == 0 ? ~std::uint64_t{0} : next_random() % 100 + 1;
        while (steps-- > 0 && step(warp)) any = true;
      }
      ended = 0;
      for (const Warp& warp : warps_) ended += static_cast<unsigned>(std::popcount(warp.done));
      if (!any && ended < threads_) throw Error(kernel_.name + ": deadlock: threads ended that others wait for");
    }
  }

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
        t % size.x, t / size.x % size.y, t / (size.x * size.y), block_.x,      block_.y, block_.z, size.x, size.y,
        size.z,     launch_.grid.x,      launch_.grid.y,        launch_.grid.z};
    return values[operand.index];
  }

  void write(Warp& warp, const Operand& operand, int lane, std::uint64_t value) const {
    if (operand.kind == Operand::Kind::kRegister) at(warp, operand.index, lane) = value;
  }

  char* address(Warp& warp, const Instruction& in, Space space, const std::vector<Operand>& operand, int lane,
                std::size_t bytes) const {
    std::uint64_t place = read(warp, operand[0], lane) + operand[1].value;
    if (space == Space::kShared) place &= 0xFFFFFFFFu;
    if (place % bytes != 0) fail(in, "misaligned address");
    const auto within = [&](std::size_t size) {
      if (place + bytes > size) fail(in, "address " + std::to_string(place) + " of " + std::to_string(size));
    };
    switch (space) {
      case Space::kShared:
        within(shared_size_);
        return shared_.get() + place;
      case Space::kLocal:
        within(kernel_.local_bytes);
        return warp.local[lane].data() + place;
      case Space::kParameter:
        within(parameter_.size());
        return const_cast<char*>(reinterpret_cast<const char*>(parameter_.data())) + place;
      case Space::kGlobal:
        if (place < 4096) fail(in, "null pointer");
        return reinterpret_cast<char*>(place);
    }
    return nullptr;
  }

  /// One instruction of the lanes that are furthest behind; false where all wait or have ended.
  bool step(Warp& warp) {
    const std::uint32_t runnable = warp.exists & ~warp.done & ~warp.at_barrier;
    if (runnable == 0) return false;
    std::size_t place = ~std::size_t{0};
    for (int lane = 0; lane < 32; ++lane) {
      if ((runnable >> lane & 1) != 0) place = std::min(place, warp.place[lane]);
    }
    const Instruction& in = kernel_.code.at(place);
    std::uint32_t lanes = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if ((runnable >> lane & 1) == 0 || warp.place[lane] != place) continue;
      ++warp.place[lane];
      if (in.predicate < 0 || ((at(warp, in.predicate, lane) & 1) != 0) != in.negated) lanes |= 1u << lane;
    }
    execute(warp, in, lanes);
    return true;
  }

  template <class F>
  static void for_each(std::uint32_t lanes, const F& f) {
    for (; lanes != 0; lanes &= lanes - 1) f(std::countr_zero(lanes));
  }

  void execute(Warp& warp, const Instruction& in, std::uint32_t lanes) {
    switch (in.action) {
      case Action::kCompute:
        return for_each(lanes, [&](int lane) {
          const std::uint64_t result = in.compute(read(warp, in.source[0], lane), read(warp, in.source[1], lane),
                                                  read(warp, in.source[2], lane));
          write(warp, in.destination[0], lane, result);
        });
      case Action::kMove:
        return for_each(lanes, [&](int lane) { move(warp, in, lane); });
      case Action::kLoad:
        return for_each(lanes, [&](int lane) { load(warp, in, lane); });
      case Action::kStore:
        return for_each(lanes, [&](int lane) { store(warp, in, lane); });
      case Action::kBranch:
        return for_each(lanes, [&](int lane) { warp.place[lane] = static_cast<std::size_t>(in.target); });
      case Action::kReturn:
        warp.done |= lanes;
        return for_each(lanes, [&](int lane) {
          if (!warp.copies[lane].empty()) fail(in, "cp.async never waited for");
        });
      case Action::kBarrier:
        return barrier(warp, in, lanes);
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

  void move(Warp& warp, const Instruction& in, int lane) const {
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

  void load(Warp& warp, const Instruction& in, int lane) const {
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

  void store(Warp& warp, const Instruction& in, int lane) const {
    const auto bytes = static_cast<std::size_t>(in.bytes);
    char* const to = address(warp, in, in.space, in.destination, lane, bytes * in.source.size());
    for (std::size_t i = 0; i < in.source.size(); ++i) {
      const std::uint64_t value = read(warp, in.source[i], lane);
      std::memcpy(to + i * bytes, &value, bytes);
    }
  }

  void start_copy(Warp& warp, const Instruction& in, int lane) const {
    const auto bytes = static_cast<std::size_t>(in.bytes);
    char* const to = address(warp, in, Space::kShared, in.destination, lane, bytes);
    const char* const from = address(warp, in, Space::kGlobal, in.source, lane, bytes);
    std::memset(to, 0xFF, bytes);
    warp.copies[lane].push_back({to, from, in.bytes, warp.groups[lane]});
  }

  static void finish_copies(Warp& warp, int pending, int lane) {
    std::erase_if(warp.copies[lane], [&](const Copy& copy) {
      if (copy.group + pending >= warp.groups[lane]) return false;
      std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
      return true;
    });
  }

  void barrier(Warp& warp, const Instruction& in, std::uint32_t lanes) {
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

  /// Shuffles and tensor core instructions: all 32 lanes at once.
  void collective(Warp& warp, const Instruction& in, std::uint32_t lanes) const {
    if (lanes != kWholeWarp) fail(in, "not by the whole warp");
    void* ios[32];
    if (in.action == Action::kShuffle) {
      emulator::Shuffle shuffles[32];
      for (int lane = 0; lane < 32; ++lane) {
        const auto word = [&](std::size_t i) { return static_cast<std::uint32_t>(read(warp, in.source[i], lane)); };
        const std::uint32_t distance = word(1);
        if (word(2) != 31 || word(3) != kWholeWarp) fail(in, "parts of a warp are not supported");
        shuffles[lane] = {read(warp, in.source[0], lane), static_cast<std::uint32_t>(lane) ^ distance};
        ios[lane] = &shuffles[lane];
      }
      emulator::exchange(ios, kWholeWarp);
      for (int lane = 0; lane < 32; ++lane) write(warp, in.destination[0], lane, shuffles[lane].value);
    } else if (in.action == Action::kLoadMatrix) {
      emulator::LoadMatrix loads[32];
      for (int lane = 0; lane < 32; ++lane) {
        std::memcpy(loads[lane].row, address(warp, in, Space::kShared, in.source, lane, 16), 16);
        ios[lane] = &loads[lane];
      }
      emulator::load_matrices(ios, kWholeWarp);
      for (int lane = 0; lane < 32; ++lane) {
        for (std::size_t i = 0; i < 4; ++i) write(warp, in.destination[i], lane, loads[lane].loaded[i]);
      }
    } else {
      multiply(warp, in);
    }
  }

  void multiply(Warp& warp, const Instruction& in) const {
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
      for (std::size_t i = 0; i < 4; ++i)
        write(warp, in.destination[i], lane, std::bit_cast<std::uint32_t>(d[lane][i]));
    }
  }

  const Kernel& kernel_;
  const Launch& launch_;
  std::span<const std::byte> parameter_;
  uint3 block_;
  std::uint64_t random_;
  unsigned threads_;
  std::size_t shared_size_;
  std::unique_ptr<char[], Delete> shared_;
  std::vector<Warp> warps_;
};

}  // namespace

void execute(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter) {
  if (parameter.size() != kernel.parameter_bytes) {
    throw Error(kernel.name + ": parameter of " + std::to_string(parameter.size()) + " bytes, expected " +
                std::to_string(kernel.parameter_bytes));
  }
  for (unsigned z = 0; z < launch.grid.z; ++z) {
    for (unsigned y = 0; y < launch.grid.y; ++y) {
      for (unsigned x = 0; x < launch.grid.x; ++x) BlockExecution(kernel, launch, parameter, {x, y, z}).run();
    }
  }
}

}  // namespace reel::ptx
