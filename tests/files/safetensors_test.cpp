#include "host/files/safetensors.h"

#include <cstring>
#include <map>
#include <numeric>

#include "tests/support/support.h"

namespace reel {
namespace {

/// A file with this header and `data` bytes of zeros.
std::string file_with(const std::string& header, std::size_t data) {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + std::string(data, '\0');
}

TEST(Safetensors, ReadsWhatItWrote) {
  const TemporaryFolder folder;
  const std::vector<float> floats = {1, -2, 3.5f, 0, 7, 9};
  const std::vector<std::int64_t> integers = {1, -5};
  const std::vector<std::uint8_t> bytes = {1, 2, 255};
  write_safetensors(folder / "a",
                    {{"bytes", tensor_view(std::span(bytes), {3})},
                     {"floats", tensor_view(std::span(floats), {2, 3})},
                     {"integers", tensor_view(std::span(integers), {2})},
                     {"nothing", tensor_view(std::span<const float>(), {0, 4})}},
                    {{"key", "value \"quoted\""}});
  const SafetensorsFile file(folder / "a");
  EXPECT_TRUE(std::ranges::equal(file.get<float>("floats", {2, 3}), floats));
  EXPECT_TRUE(std::ranges::equal(file.get<float>("floats", {-1, 3}), floats));
  EXPECT_TRUE(std::ranges::equal(file.get<std::int64_t>("integers", {2}), integers));
  EXPECT_TRUE(std::ranges::equal(file.get<std::uint8_t>("bytes", {3}), bytes));
  EXPECT_TRUE(file.get<float>("nothing", {0, 4}).empty());
  EXPECT_EQ(file.metadata("key"), "value \"quoted\"");
  expect_error([&] { file.get<float>("none", {1}); }, {"no tensor 'none'"});
  expect_error([&] { file.get<float>("floats", {3, 2}); }, {"F32 [2, 3], expected F32 [3, 2]"});
  expect_error([&] { file.get<double>("floats", {2, 3}); }, {"expected F64"});
  expect_error([&] { file.metadata("none"); }, {"no 'none'"});
}

TEST(Safetensors, SaysWhichShapeItExpected) {
  const TemporaryFolder folder;
  const SafetensorsFile file(
      folder.write("a", file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)));
  expect_error([&] { file.get<float>("a", {-1, 3}); }, {"[any, 3]"});
}

TEST(Safetensors, KnowsTheSizeOfEveryType) {
  const TemporaryFolder folder;
  const std::map<std::string, std::size_t> sizes = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
                                                    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
                                                    {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  for (const auto& [dtype, size] : sizes) {
    const std::string header =
        fmt::format(R"({{"a":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", dtype, 3 * size);
    EXPECT_NO_THROW(SafetensorsFile(folder.write(dtype, file_with(header, 3 * size)))) << dtype;
  }
}

struct Damage {
  const char* what;
  std::string bytes;
  const char* message;
};

class DamagedSafetensors : public testing::TestWithParam<Damage> {};

TEST_P(DamagedSafetensors, IsRefused) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.safetensors", GetParam().bytes);
  expect_error([&] { SafetensorsFile{path}; }, {"a.safetensors", GetParam().message});
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedSafetensors,
    testing::Values(
        Damage{"Empty", "", "not a safetensors file"}, Damage{"Short", "abc", "not a safetensors file"},
        Damage{"HugeHeader", std::string(8, '\x7f') + "{}", "header of"},
        Damage{"NoJson", file_with("{nonsense", 0), "header: not JSON"},
        Damage{"NoObject", file_with("[1]", 0), "does not begin"},
        Damage{"MissingKey", file_with(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "expected {\"dtype\""},
        Damage{"ThreeOffsets", file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", 4),
               "expected {\"dtype\""},
        Damage{"UnknownType", file_with(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4), "F33"},
        Damage{"Truncated", file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4), "outside"},
        Damage{"WrongSize", file_with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
               "8 bytes of data, but F32 [3] takes 12"},
        Damage{"Overflow",
               file_with(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0),
               "too large"},
        Damage{"Negative", file_with(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4), "whole number"},
        Damage{"Backwards", file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4), "outside"},
        Damage{"Hole", file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8), "begins at byte 4"},
        Damage{"Overlap",
               file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                         4),
               "begins at byte 0"},
        Damage{"Trailing", file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5),
               "1 bytes after the last"},
        Damage{"Duplicate",
               file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                         4),
               "key \"a\" twice"},
        Damage{"Metadata", file_with(R"({"__metadata__":{"a":1}})", 0), "'a' is 1, expected a string"}),
    [](const auto& test) { return test.param.what; });

}  // namespace
}  // namespace reel
