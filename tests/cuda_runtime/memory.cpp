// Memory. Device memory is mapped, and hidden from the host; what is freed stays hidden for good, and its addresses are
// never used again.
#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <cstring>

#include "tests/cuda_runtime/state.h"
#include "tests/emulator/sanitizers.h"
#include "tests/emulator/scheduler.h"

namespace reel::runtime {
namespace {

constexpr std::size_t kPage = 4096, kAlignment = 256, kArena = std::size_t{1} << 37;

std::size_t rounded(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }

/// Address space for all allocations that are ever made.
class Arena {
 public:
  Arena() {
    void* const memory = ::mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin_ = next_ = static_cast<std::byte*>(memory);
  }

  /// The allocation ends where a page begins that nobody may touch.
  std::byte* take(std::size_t size, Allocation& allocation) {
    const std::size_t used = rounded(size, kAlignment);
    allocation = {.size = size, .pages = next_, .pages_size = rounded(used, kPage)};
    next_ += allocation.pages_size + kPage;
    if (next_ > begin_ + kArena) std::abort();
    std::byte* const address = allocation.pages + allocation.pages_size - used;
    ::mprotect(allocation.pages, allocation.pages_size, PROT_READ | PROT_WRITE);
    std::memset(address, 0xFF, size);  // NaN
    emulator::poison(address + size, used - size);
    return address;
  }

  bool holds(const void* address) const { return address >= begin_ && address < begin_ + kArena; }

 private:
  std::byte *begin_ = nullptr, *next_ = nullptr;
};

Arena& device_arena() {
  static Arena* const arena = new Arena;
  return *arena;
}
Arena& pinned_arena() {
  static Arena* const arena = new Arena;
  return *arena;
}

int accesses = 0;

void protect(const Allocation& allocation, int protection) {
  ::mprotect(allocation.pages, allocation.pages_size, protection);
}

void protect_device(int protection) {
  for (const auto& [address, allocation] : runtime().device_memory) {
    if (!allocation.freed) protect(allocation, protection);
  }
}

/// The allocation at or before the address, or null.
const std::pair<const std::byte* const, Allocation>* allocation_at(const std::map<const std::byte*, Allocation>& memory,
                                                                   const void* address) {
  auto after = memory.upper_bound(static_cast<const std::byte*>(address));
  return after == memory.begin() ? nullptr : &*std::prev(after);
}

void describe(const void* address, char* text, std::size_t size) {
  const bool device = device_arena().holds(address);
  if (!device && !pinned_arena().holds(address)) return;
  const Runtime& r = runtime();
  const auto* const found = allocation_at(device ? r.device_memory : r.pinned_memory, address);
  if (found == nullptr) return;
  const auto offset = static_cast<const std::byte*>(address) - found->first;
  std::snprintf(text, size, "byte %td of %s memory, %zu bytes%s", offset, device ? "device" : "pinned",
                found->second.size, found->second.freed ? ", freed" : "");
}

cudaError_t allocate(Runtime& r, Arena& arena, std::map<const std::byte*, Allocation>& memory, void** result,
                     std::size_t size) {
  if (result == nullptr) return cudaErrorInvalidValue;
  if (allocation_fails()) return cudaErrorMemoryAllocation;
  *result = nullptr;
  if (size == 0) return cudaSuccess;
  const bool device = &memory == &r.device_memory;
  if (device && r.used_memory + size > r.options.device.memory) return cudaErrorMemoryAllocation;
  static const bool caught = (emulator::catch_bad_accesses(describe), true);
  static_cast<void>(caught);
  Allocation allocation;
  std::byte* const address = arena.take(size, allocation);
  memory[address] = allocation;
  *result = address;
  if (!device) return cudaSuccess;
  r.used_memory += size;
  if (accesses == 0) protect(allocation, PROT_NONE);
  return cudaSuccess;
}

/// Null where it is an error.
Allocation* to_free(std::map<const std::byte*, Allocation>& memory, const void* address, const char* function) {
  const auto found = memory.find(static_cast<const std::byte*>(address));
  if (found != memory.end() && !found->second.freed) return &found->second;
  violation(std::string(function) + (found == memory.end() ? " of what was never allocated" : " twice"));
  return nullptr;
}

void free(const std::byte* address, Allocation& allocation) {
  allocation.freed = true;
  emulator::unpoison(address, rounded(allocation.size, kAlignment));
  protect(allocation, PROT_NONE);
  ::madvise(allocation.pages, allocation.pages_size, MADV_DONTNEED);
}

}  // namespace

DeviceAccess::DeviceAccess() {
  if (accesses++ == 0) protect_device(PROT_READ | PROT_WRITE);
}
DeviceAccess::~DeviceAccess() {
  if (--accesses == 0) protect_device(PROT_NONE);
}

void free_all_memory(Runtime& r) {
  for (auto* const memory : {&r.device_memory, &r.pinned_memory}) {
    for (auto& [address, allocation] : *memory) {
      if (!allocation.freed) free(address, allocation);
    }
  }
  r.used_memory = 0;
}

bool locate(Runtime& r, const void* address, std::size_t bytes, MemoryKind& kind) {
  const bool device = device_arena().holds(address), pinned = pinned_arena().holds(address);
  kind = device ? MemoryKind::kDevice : pinned ? MemoryKind::kPinned : MemoryKind::kPageable;
  if (!device && !pinned) return true;
  const auto* const found = allocation_at(device ? r.device_memory : r.pinned_memory, address);
  return found != nullptr && !found->second.freed &&
         static_cast<const std::byte*>(address) + bytes <= found->first + found->second.size;
}

}  // namespace reel::runtime

using namespace reel::runtime;

cudaError_t cudaMalloc(void** memory, std::size_t size) {
  return call([&](Runtime& r) {
    if (const cudaError_t error = unsafe_while_capturing(r)) return error;
    return allocate(r, device_arena(), r.device_memory, memory, size);
  });
}

/// Does not wait for work that uses the memory: the real one only may.
cudaError_t cudaFree(void* memory) {
  return call([&](Runtime& r) {
    if (const cudaError_t error = unsafe_while_capturing(r)) return error;
    if (memory == nullptr) return cudaSuccess;
    Allocation* const allocation = to_free(r.device_memory, memory, "cudaFree");
    if (allocation == nullptr) return cudaErrorInvalidValue;
    r.used_memory -= allocation->size;
    free(static_cast<std::byte*>(memory), *allocation);
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** memory, std::size_t size) {
  return call([&](Runtime& r) {
    if (const cudaError_t error = unsafe_while_capturing(r)) return error;
    return allocate(r, pinned_arena(), r.pinned_memory, memory, size);
  });
}

cudaError_t cudaFreeHost(void* memory) {
  return call([&](Runtime& r) {
    if (const cudaError_t error = unsafe_while_capturing(r)) return error;
    if (memory == nullptr) return cudaSuccess;
    Allocation* const allocation = to_free(r.pinned_memory, memory, "cudaFreeHost");
    if (allocation == nullptr) return cudaErrorInvalidValue;
    const auto* const begin = static_cast<std::byte*>(memory);
    const auto check = [&](const Stream& stream) {
      for (const auto& work : stream.queue) {
        if (work->pinned >= begin && work->pinned < begin + allocation->size) {
          violation("cudaFreeHost while this has not run: " + work->what);
        }
      }
    };
    for (const auto& [handle, stream] : r.streams) check(*stream);
    for (const auto& stream : r.destroyed_streams) check(*stream);
    free(begin, *allocation);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  return call([&](Runtime& r) {
    *total = r.options.device.memory;
    *free_bytes = r.options.device.memory - r.used_memory;
    return cudaSuccess;
  });
}
