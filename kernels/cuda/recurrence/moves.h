// How a thread of tensor_core.cu or tensor_core_gated.cu moves its units from and to sequences.
#pragma once

#include <array>
#include <cstddef>

namespace reel::cuda {

enum class Moves {
  kSingly,
  kTogether,
  kPacked,  // together, in 16 bits
};

/// What plans and step_cycles.h call them, in their order.
inline constexpr std::array kMovesNames{"singly", "together", "packed"};

constexpr const char* name_of(Moves moves) { return kMovesNames[static_cast<std::size_t>(moves)]; }

}  // namespace reel::cuda
