#include "tests/emulator/stacks.h"

#include <sys/mman.h>

#include <utility>

#include "tests/emulator/sanitizers.h"

namespace reel::emulator {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kThreadSize = (sizeof(Thread) + kPage - 1) / kPage * kPage;

Thread* thread_in(const Mapping& slot) { return reinterpret_cast<Thread*>(slot.data() + kPage + kStackSize); }

}  // namespace

Mapping::Mapping(std::size_t size) : size_((size + kPage - 1) / kPage * kPage) {
  void* const memory =
      ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("emulator: no memory for stacks");
  data_ = static_cast<char*>(memory);
}
Mapping::Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
Mapping::~Mapping() {
  if (data_ == nullptr) return;
  unpoison(data_, size_);  // whatever is mapped here next begins without marks
  ::munmap(data_, size_);
}

StackPool::~StackPool() { finish_launch(false); }

Thread& StackPool::thread(std::size_t i) {
  while (slots_.size() <= i) {
    Mapping slot(kPage + kStackSize + kThreadSize);
    ::mprotect(slot.data(), kPage, PROT_NONE);
    Thread* const thread = thread_in(slot);
    thread->stack = slot.data() + kPage;
#if defined(EMULATOR_TSAN)
    if (free_fibers_.empty()) free_fibers_.push_back(__tsan_create_fiber(0));
    thread->tsan_fiber = free_fibers_.back();
    free_fibers_.pop_back();
#endif
    slots_.push_back(std::move(slot));
  }
  unpoison(slots_[i].data() + kPage, kStackSize);
  return *thread_in(slots_[i]);
}

char* StackPool::shared(std::size_t size) {
  if (shared_.empty() || shared_.back().size() < size) {
    shared_.clear();
    shared_.emplace_back(size);
  }
  return shared_.back().data();
}

void StackPool::finish_cluster() {
  if (!kThreadSanitizer) return;
  constexpr std::size_t kMostFibers = 8000;  // ThreadSanitizer's limit is 8128 threads
  const std::size_t fibers = slots_.size();
  for (const Mapping& slot : slots_) finished_fibers_.push_back(thread_in(slot)->tsan_fiber);
  slots_.clear();
  shared_.clear();
  if (finished_fibers_.size() + fibers > kMostFibers) destroy_fibers();  // the next cluster is as large
}

void StackPool::finish_launch(bool all_ended) {
  if (!all_ended) return destroy_fibers();
  free_fibers_.insert(free_fibers_.end(), finished_fibers_.begin(), finished_fibers_.end());
  finished_fibers_.clear();
}

void StackPool::destroy_fibers() {
  finished_fibers_.insert(finished_fibers_.end(), free_fibers_.begin(), free_fibers_.end());
#if defined(EMULATOR_TSAN)
  for (void* const fiber : finished_fibers_) __tsan_destroy_fiber(fiber);
#endif
  finished_fibers_.clear();
  free_fibers_.clear();
}

}  // namespace reel::emulator
