#include "host/files/safetensors.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "host/files/json.h"
#include "host/files/limits.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kAlignment = 8;

const std::map<std::string, std::uint64_t>& dtype_sizes() {
  static const std::map<std::string, std::uint64_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  return sizes;
}

template <class T>
constexpr const char* dtype_of() {
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, double>) return "F64";
  if constexpr (std::is_same_v<T, std::int32_t>) return "I32";
  if constexpr (std::is_same_v<T, std::int64_t>) return "I64";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "U8";
}

std::uint64_t unsigned_of(const JsonValue& value, const std::string& where) {
  const auto* const number = value.get_if<std::int64_t>();
  if (number == nullptr || *number < 0)
    fail("{}: {}, expected a whole number from 0 to 2^63 - 1", where, excerpt(value));
  return static_cast<std::uint64_t>(*number);
}

struct Extent {
  std::uint64_t begin, end;
  std::string name;
};

/// One entry of the header. Returns the tensor and where its bytes lie in the buffer.
TensorView parse_tensor(const JsonValue& entry, const std::string& where, std::span<const std::byte> buffer,
                        Extent& extent) {
  const auto* const members = entry.get_if<JsonValue::Object>();
  const auto* const dtype = entry.find_if<std::string>("dtype");
  const auto* const shape = entry.find_if<JsonValue::Array>("shape");
  const auto* const offsets = entry.find_if<JsonValue::Array>("data_offsets");
  if (members == nullptr || members->size() != 3 || dtype == nullptr || shape == nullptr || offsets == nullptr ||
      offsets->size() != 2) {
    fail("{}: expected {{\"dtype\", \"shape\", \"data_offsets\": [begin, end]}}", where);
  }
  TensorView tensor{.dtype = *dtype};
  const auto size = dtype_sizes().find(tensor.dtype);
  if (size == dtype_sizes().end()) fail("{}: unknown dtype '{}'", where, tensor.dtype);
  std::uint64_t bytes = size->second;
  for (const JsonValue& dimension : *shape) {
    const std::uint64_t length = unsigned_of(dimension, where + ": shape");
    if (__builtin_mul_overflow(bytes, length, &bytes))
      fail("{}: shape {} is too large", where, excerpt(*entry.find("shape")));
    tensor.shape.push_back(static_cast<std::int64_t>(length));
  }
  extent.begin = unsigned_of(offsets->front(), where + ": data_offsets");
  extent.end = unsigned_of(offsets->back(), where + ": data_offsets");
  if (extent.begin > extent.end || extent.end > buffer.size()) {
    fail("{}: data_offsets {} lie outside the {} bytes of data (truncated file?)", where,
         excerpt(*entry.find("data_offsets")), buffer.size());
  }
  if (extent.end - extent.begin != bytes) {
    fail("{}: {} bytes of data, but {} {} takes {}", where, extent.end - extent.begin, tensor.dtype,
         excerpt(*entry.find("shape")), bytes);
  }
  tensor.bytes = buffer.subspan(extent.begin, extent.end - extent.begin);
  return tensor;
}

void check_no_holes(std::vector<Extent>& extents, std::uint64_t size, const std::string& path) {
  std::ranges::sort(extents, {}, [](const Extent& e) { return std::pair(e.begin, e.end); });
  std::uint64_t end = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != end) {
      fail("{}: tensor '{}' begins at byte {} of the data, expected {}", path, extent.name, extent.begin, end);
    }
    end = extent.end;
  }
  if (end != size) fail("{}: {} bytes after the last tensor", path, size - end);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t length : shape) {
    if (text.size() > 1) text += ", ";
    text += length < 0 ? "any" : std::to_string(length);
  }
  return text + "]";
}

}  // namespace

std::int64_t TensorView::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t length : shape) count *= length;
  return count;
}

template <class T>
TensorView tensor_view(std::span<const T> elements, std::vector<std::int64_t> shape) {
  TensorView tensor{.dtype = dtype_of<T>(), .shape = std::move(shape), .bytes = std::as_bytes(elements)};
  REEL_CHECK(tensor.elements() == static_cast<std::int64_t>(elements.size()), "{} elements for a tensor of shape {}",
             elements.size(), shape_text(tensor.shape));
  return tensor;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), file_(read_file(path)) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(file_));
  const std::string name = path.string();
  std::uint64_t header_size = 0;
  if (bytes.size() < sizeof header_size) fail("{}: not a safetensors file: {} bytes long", name, bytes.size());
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  if (header_size > kMaxSafetensorsHeader || header_size > bytes.size() - sizeof header_size) {
    fail("{}: not a safetensors file, or a truncated one: a header of {} bytes in a file of {}", name, header_size,
         bytes.size());
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof header_size, header_size);
  if (!text.starts_with('{')) fail("{}: not a safetensors file: its header does not begin with '{{'", name);
  const JsonValue header = parse_json(text, name + ": header");
  const std::span<const std::byte> buffer = bytes.subspan(sizeof header_size + header_size);
  std::vector<Extent> extents;
  for (const auto& [key, entry] : *header.get_if<JsonValue::Object>()) {
    if (key == "__metadata__") {
      const auto* const items = entry.get_if<JsonValue::Object>();
      if (items == nullptr) fail("{}: __metadata__ is {}, expected an object", name, excerpt(entry));
      for (const auto& [item, value] : *items) metadata_[item] = string_at(entry, item, name + ": __metadata__");
      continue;
    }
    Extent extent{.name = key};
    tensors_[key] = parse_tensor(entry, name + ": tensor '" + key + "'", buffer, extent);
    extents.push_back(extent);
  }
  check_no_holes(extents, buffer.size(), name);
}

template <class T>
std::span<const T> SafetensorsFile::get(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("{}: no tensor '{}'", path_.string(), name);
  const TensorView& tensor = found->second;
  const auto fits = [](std::int64_t have, std::int64_t want) { return want < 0 || have == want; };
  if (tensor.dtype != dtype_of<T>() || !std::ranges::equal(tensor.shape, shape, fits)) {
    fail("{}: tensor '{}' is {} {}, expected {} {}", path_.string(), name, tensor.dtype, shape_text(tensor.shape),
         dtype_of<T>(), shape_text(shape));
  }
  if (reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(T) != 0) {
    fail("{}: tensor '{}' is not aligned to {} bytes", path_.string(), name, alignof(T));
  }
  return {reinterpret_cast<const T*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(T)};
}

const std::string& SafetensorsFile::metadata(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail("{}: __metadata__ has no '{}'", path_.string(), key);
  return found->second;
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  AtomicFile file(path);
  write_safetensors(file, tensors, metadata);
  file.commit();
}

void write_safetensors(AtomicFile& file, const std::map<std::string, TensorView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide elements first, then by name: so every tensor begins at a multiple of its element's size.
  std::vector<std::pair<std::string, const TensorView*>> order;
  for (const auto& [name, tensor] : tensors) order.emplace_back(name, &tensor);
  const auto width = [](const auto& item) { return dtype_sizes().at(item.second->dtype); };
  std::ranges::stable_sort(order, std::greater{}, width);

  JsonMembers header;
  if (!metadata.empty()) {
    JsonValue::Object items;
    for (const auto& [key, value] : metadata) items[key] = value;
    header.emplace_back("__metadata__", std::move(items));
  }
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : order) {
    const auto begin = static_cast<std::int64_t>(offset);
    offset += tensor->bytes.size();
    header.emplace_back(
        name, JsonValue::Object{{"data_offsets", json_array<std::int64_t>({begin, static_cast<std::int64_t>(offset)})},
                                {"dtype", tensor->dtype},
                                {"shape", json_array(tensor->shape)}});
  }
  std::ranges::sort(header, {}, &JsonMembers::value_type::first);
  std::string text = to_json(header);
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t size = text.size();

  file.write(std::as_bytes(std::span(&size, 1)));
  file.write(text);
  for (const auto& [name, tensor] : order) file.write(tensor->bytes);
}

#define REEL_INSTANTIATE(T)                                                       \
  template TensorView tensor_view(std::span<const T>, std::vector<std::int64_t>); \
  template std::span<const T> SafetensorsFile::get(const std::string&, const std::vector<std::int64_t>&) const
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(std::int32_t);
REEL_INSTANTIATE(std::int64_t);
REEL_INSTANTIATE(std::uint8_t);
#undef REEL_INSTANTIATE

}  // namespace reel
