// Checks of an operation's arguments against its contract.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.h"
#include "kernels/check.h"

namespace reel {

template <class T>
void check_size(std::span<T> tensor, std::int64_t expected, const char* name) {
  REEL_CHECK(static_cast<std::int64_t>(tensor.size()) == expected, "{} has {} elements, not {}", name, tensor.size(),
             expected);
}

template <class T>
void check_capacity(std::span<T> tensor, std::int64_t expected, const char* name) {
  REEL_CHECK(static_cast<std::int64_t>(tensor.size()) >= expected, "{} has room for {} elements, not {}", name,
             tensor.size(), expected);
}

/// The most distinct tokens that a batch can hold.
inline std::int64_t max_distinct(const Shape& shape) {
  const std::int64_t tokens = shape.batch * shape.steps;
  return tokens < shape.vocabulary ? tokens : shape.vocabulary;
}

inline void check_index(const TokenIndex& index, const Shape& shape) {
  check_size(index.count, 1, "index.count");
  check_size(index.slot, shape.vocabulary, "index.slot");
  check_capacity(index.tokens, max_distinct(shape), "index.tokens");
  check_capacity(index.row, shape.batch * shape.steps, "index.row");
  check_capacity(index.segment, max_distinct(shape) + 1, "index.segment");
  check_capacity(index.position, shape.batch * shape.steps, "index.position");
}

}  // namespace reel
