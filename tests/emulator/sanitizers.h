// What the scheduler tells the sanitizers; nothing without them. EMULATOR_ASAN and EMULATOR_TSAN come from CMake, since
// the scheduler itself is compiled without sanitizers.
#pragma once

#include <cstddef>

#if defined(EMULATOR_ASAN)
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** old_bottom, std::size_t* old_size);
void __asan_poison_memory_region(const volatile void* address, std::size_t size);
void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
}
#endif
#if defined(EMULATOR_TSAN)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace reel::emulator {

#if defined(EMULATOR_TSAN)
constexpr bool kThreadSanitizer = true;
inline void acquire(void* tag) { __tsan_acquire(tag); }
inline void release(void* tag) { __tsan_release(tag); }
#else
constexpr bool kThreadSanitizer = false;
inline void acquire(void*) {}
inline void release(void*) {}
#endif

#if defined(EMULATOR_ASAN)
constexpr std::size_t kStackSize = 256 * 1024;
inline void poison(const void* address, std::size_t size) { __asan_poison_memory_region(address, size); }
inline void unpoison(const void* address, std::size_t size) { __asan_unpoison_memory_region(address, size); }
#else
constexpr std::size_t kStackSize = 64 * 1024;
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
#endif

}  // namespace reel::emulator
