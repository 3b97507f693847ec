// Stackful contexts: one for each CUDA thread. A switch saves the callee-saved registers and takes some 10 ns.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#error "the emulator switches stacks on x86-64 only: add this processor's fiber_*.S"
#endif

extern "C" {
/// Stores where to continue in *save and continues at `to`.
void reel_switch_fiber(void** save, void* to);
/// Where a fresh fiber begins: calls the function in rbx, which must not return.
void reel_enter_fiber();
}

namespace reel::emulator {

/// A context that will call `entry` on the stack that ends at `top`.
inline void* make_fiber(void* top, void (*entry)()) {
  auto* slot = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{63});
  *--slot = nullptr;  // keeps the stack 16-byte aligned at the call
  *--slot = nullptr;
  *--slot = reinterpret_cast<void*>(&reel_enter_fiber);
  *--slot = nullptr;                              // rbp
  *--slot = reinterpret_cast<void*>(entry);       // rbx
  for (int i = 0; i < 4; ++i) *--slot = nullptr;  // r12 to r15
  return slot;
}

}  // namespace reel::emulator
