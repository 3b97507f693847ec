// Memory that operations compute on: Buffer owns, std::span views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace reel {

/// Move-only owner of `size` elements in a backend's memory, made by Backend::allocate. Uninitialised elements do not
/// exist: fresh buffers are zero. The memory is freed without throwing.
template <class T>
class Buffer {
 public:
  using Deleter = void (*)(void*) noexcept;

  Buffer() = default;
  Buffer(T* data, std::size_t size, Deleter deleter) : data_(data, deleter), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  std::span<T> span() { return {data_.get(), size_}; }
  std::span<const T> span() const { return {data_.get(), size_}; }
  std::span<T> first(std::int64_t count) { return span().first(static_cast<std::size_t>(count)); }
  std::span<const T> first(std::int64_t count) const { return span().first(static_cast<std::size_t>(count)); }
  std::span<T> span(std::size_t offset, std::size_t count) { return span().subspan(offset, count); }
  std::span<const T> span(std::size_t offset, std::size_t count) const { return span().subspan(offset, count); }

 private:
  std::unique_ptr<T, Deleter> data_{nullptr, [](void*) noexcept {}};
  std::size_t size_ = 0;
};

}  // namespace reel
