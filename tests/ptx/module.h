// The PTX that `nvcc -ptx` emits for Reel's kernels, parsed; execute.cpp runs it on the CPU. What is not known is an
// error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <vector_types.h>

namespace reel::ptx {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An instruction without side effects: what it computes from up to three operands. Values lie in the low bits.
using Compute = std::uint64_t (*)(std::uint64_t a, std::uint64_t b, std::uint64_t c);

/// By name, "fma.rn.f32"; null where there is none.
Compute find_compute(const std::string& opcode);

/// Addresses in the shared memory of a cluster: the block's rank + 1 above kRankShift, or 0 there in the own block's.
constexpr unsigned kRankShift = 24;

enum class Action {
  kCompute,
  kMove,  // between registers, packing and unpacking
  kLoad,
  kStore,
  kCount,  // atomically, up to a number and then from 0 again
  kBranch,
  kReturn,
  kBarrier,
  kWarpBarrier,
  kClusterArrive,
  kClusterWait,
  kInitBarrier,
  kExpectBytes,
  kTryWait,
  kStoreAsync,
  kShuffleXor,
  kShuffle,
  kCopyAsync,
  kCommit,
  kWait,
  kLoadMatrix,
  kLoadMatrixTransposed,
  kMultiplyFp16,
  kMultiplyBf16,
};

enum class Space { kParameter, kGlobal, kShared, kCluster, kLocal };

struct Operand {
  enum class Kind { kRegister, kConstant, kSpecial, kNone };
  Kind kind = Kind::kNone;
  int index = 0;            // of a register, or which special one
  std::uint64_t value = 0;  // a constant; an address' offset
};

struct Instruction {
  Action action = Action::kCompute;
  Compute compute = nullptr;
  int predicate = -1;  // register, or none
  bool negated = false;
  Space space = Space::kGlobal;
  int bytes = 4;  // of one element; of a register that is packed or unpacked
  bool sign_extended = false;
  int target = 0;                            // of a branch; groups that a wait leaves pending
  std::vector<Operand> destination, source;  // lists where written {a, b}
  std::vector<Operand> source2, source3;     // further lists, of mma; a barrier, its parity; bytes that a copy reads
  std::string text;
};

struct Kernel {
  std::string name;
  std::size_t parameter_bytes = 0;
  std::size_t static_shared = 0, local_bytes = 0;
  int registers = 0;
  std::vector<Instruction> code;
};

/// Which special registers an Operand can be.
enum Special {
  kThreadX,
  kThreadY,
  kThreadZ,
  kBlockX,
  kBlockY,
  kBlockZ,
  kSizeX,
  kSizeY,
  kSizeZ,
  kGridX,
  kGridY,
  kGridZ,
  kClusterRank
};

class Module {
 public:
  explicit Module(const std::string& text);

  const std::vector<Kernel>& kernels() const { return kernels_; }
  /// The kernel whose mangled name ends with `suffix`, or null.
  const Kernel* find(const std::string& suffix) const;

 private:
  std::vector<Kernel> kernels_;
};

struct Launch {
  dim3 grid{1}, block{1};
  std::size_t shared = 0;
  unsigned cluster = 1;    // blocks, along x
  std::uint64_t seed = 0;  // 0: warps in turn, else in random order
};

/// Runs a kernel whose only parameter is a struct. Throws Error where threads break the protocol or an address is bad.
void execute(const Kernel& kernel, const Launch& launch, std::span<const std::byte> parameter);

}  // namespace reel::ptx
