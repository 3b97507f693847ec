// The safetensors format: u64 little-endian header size, a JSON header {"name": {"dtype", "shape", "data_offsets"}},
// the tensors' bytes. Files come from strangers: every number is checked before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "host/files/file.h"

namespace reel {

/// One tensor of an open file, or one to be written; `bytes` are not owned.
struct TensorView {
  std::string dtype;  // "F32", "F64", "I32", "I64", "U8", ...
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  std::int64_t elements() const;
};

/// A tensor over existing elements: float F32, double F64, int32_t I32, int64_t I64, uint8_t U8.
template <class T>
TensorView tensor_view(std::span<const T> elements, std::vector<std::int64_t> shape);

class SafetensorsFile {
 public:
  /// Reads and validates the file. Throws Error where anything is off: header size and JSON, unknown dtype, shape
  /// against offsets, holes, overlaps, duplicate names, trailing bytes.
  explicit SafetensorsFile(const std::filesystem::path& path);

  SafetensorsFile(const SafetensorsFile&) = delete;  // its tensors lie in it
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }

  /// Elements of one tensor. Throws Error when it is missing or of another type or shape; a -1 in `shape` fits any
  /// size.
  template <class T>
  std::span<const T> get(const std::string& name, const std::vector<std::int64_t>& shape) const;

  /// The metadata entry `key`. Throws Error when it is missing.
  const std::string& metadata(const std::string& key) const;

 private:
  std::filesystem::path path_;
  std::string file_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes atomically, tensors in the order of their names, each aligned to 8 bytes or more as the format asks.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {});
/// The same into a file that somebody else commits.
void write_safetensors(AtomicFile& file, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace reel
