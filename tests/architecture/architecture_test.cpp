// The layers, held by a test: who may include whom.
#include <gtest/gtest.h>

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
  expect_none("kernels/contract",
              {"kernels/backend.h", "kernels/device.h", "kernels/make_backend.h", "kernels/cpu/", "kernels/cuda/"});
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

/// Those that are there, and those that are planned.
TEST(Architecture, HostLayersIncludeOnlyTheLayersBelow) {
  using Layers = std::set<std::string>;
  const Layers predicting = {"files", "text", "model", "predict"};
  const Layers training = {"files", "text", "model", "predict", "distributed", "train"};
  const Layers all = {"files", "text", "model", "predict", "distributed", "train", "report", "cli"};
  const std::map<std::string, Layers> may_include = {
      {"files", {"files"}},
      {"text", {"files", "text"}},
      {"model", {"files", "text", "model"}},
      {"predict", predicting},
      {"distributed", {"files", "distributed"}},
      {"train", training},
      {"report", {"files", "text", "model", "predict", "train", "report"}},
      {"cli", all},
      {"python", {"files", "text", "model", "predict", "distributed", "train", "report", "python"}}};
  const auto layer_of = [&](const fs::path& path) { return std::next(path.begin())->string(); };
  const auto includes = includes_below("host");
  ASSERT_FALSE(includes.empty());
  for (const auto& [file, target] : includes) {
    EXPECT_FALSE(target.starts_with("..")) << file << " includes " << target;
    EXPECT_FALSE(target.starts_with("kernels/cpu/") || target.starts_with("kernels/cuda/"))
        << file << " includes " << target;
    if (!target.starts_with("host/")) continue;
    ASSERT_TRUE(may_include.contains(layer_of(file))) << file << ": in no layer that is known here";
    EXPECT_TRUE(may_include.at(layer_of(file)).contains(layer_of(target))) << file << " includes " << target;
  }
}

TEST(Architecture, OfTheKernelsFilesIncludesOnlyErrors) {
  for (const auto& [file, target] : includes_below("host/files")) {
    EXPECT_TRUE(!target.starts_with("kernels/") || target == "kernels/check.h") << file << " includes " << target;
  }
}

}  // namespace
