// The layers, held by a test: who may include whom.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  fs::path file;  // relative to the repository
  std::string target;
};

bool is_source(const fs::path& path) {
  return std::set<std::string>{".h", ".cpp", ".cu", ".cuh"}.contains(path.extension());
}

std::vector<Include> includes_below(const std::string& folder) {
  static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<Include> includes;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(REEL_SOURCE) / folder)) {
    if (!is_source(entry.path())) continue;
    std::ifstream file(entry.path());
    std::smatch match;
    for (std::string line; std::getline(file, line);) {
      if (std::regex_search(line, match, pattern)) {
        includes.push_back({fs::relative(entry.path(), REEL_SOURCE), match[1]});
      }
    }
  }
  return includes;
}

TEST(Architecture, KernelsIncludeNothingFromHost) {
  const auto includes = includes_below("kernels");
  ASSERT_FALSE(includes.empty());
  for (const auto& [file, target] : includes) {
    EXPECT_FALSE(target.starts_with("host/")) << file << " includes " << target;
  }
}

TEST(Architecture, ContractsKnowNoBackendAndBackendsNotEachOther) {
  const auto expect_none = [](const std::string& folder, const std::vector<std::string>& others) {
    for (const auto& [file, target] : includes_below(folder)) {
      for (const std::string& other : others) {
        EXPECT_FALSE(target.starts_with(other)) << file << " includes " << target;
      }
    }
  };
  expect_none("kernels/contract", {"kernels/backend.h", "kernels/device.h", "kernels/cpu/", "kernels/cuda/"});
  expect_none("kernels/cpu", {"kernels/cuda/"});
  expect_none("kernels/cuda", {"kernels/cpu/"});
}

TEST(Architecture, TheProductIncludesNothingFromTests) {
  for (const char* folder : {"kernels", "host"}) {
    for (const auto& [file, target] : includes_below(folder)) {
      EXPECT_FALSE(target.find("tests/") != std::string::npos) << file << " includes " << target;
    }
  }
}

TEST(Architecture, CudaHeadersStayInKernelsCuda) {
  static const std::regex cuda(R"(^(cuda|cublas|cudnn|curand|nccl|thrust/|cub/|nvtx).*)");
  for (const char* folder : {"kernels", "host"}) {
    for (const auto& [file, target] : includes_below(folder)) {
      if (file.string().starts_with("kernels/cuda/")) continue;
      EXPECT_FALSE(std::regex_match(target, cuda)) << file << " includes " << target;
    }
  }
}

TEST(Architecture, HostLayersIncludeOnlyTheLayersBelow) {
  const std::map<std::string, int> layers = {{"files", 0}, {"text", 1}, {"model", 2}, {"train", 3}, {"cli", 4}};
  const auto layer_of = [&](const fs::path& path) { return layers.at(std::next(path.begin())->string()); };
  const auto includes = includes_below("host");
  ASSERT_FALSE(includes.empty());
  for (const auto& [file, target] : includes) {
    if (!target.starts_with("host/")) continue;
    EXPECT_LE(layer_of(target), layer_of(file)) << file << " includes " << target;
  }
}

TEST(Architecture, OfTheKernelsFilesIncludesOnlyErrors) {
  for (const auto& [file, target] : includes_below("host/files")) {
    EXPECT_TRUE(!target.starts_with("kernels/") || target == "kernels/check.h") << file << " includes " << target;
  }
}

TEST(Architecture, FilesStayShort) {
  for (const char* folder : {"kernels", "host", "tests", "bench"}) {
    if (!fs::exists(fs::path(REEL_SOURCE) / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(REEL_SOURCE) / folder)) {
      if (!is_source(entry.path())) continue;
      std::ifstream file(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(file), {}, '\n');
      EXPECT_LE(lines, 300) << fs::relative(entry.path(), REEL_SOURCE);
    }
  }
}

}  // namespace
