// What a profiler sees: NVTX's ranges, while it records.
#include <cuda_profiler_api.h>

#include <cstdint>
#include <utility>

/// Where NVTX looks for a tool that is linked in; declared before its header, which uses the name.
extern "C" {
extern int (*InitializeInjectionNvtx2_fnptr)(const void* (*get_table)(std::uint32_t table));
}
#define NVTX_STATIC_INJECTION_IMPL
#include <nvtx3/nvToolsExt.h>

#include "tests/cuda_runtime/state.h"

namespace reel::runtime {
namespace {

bool recording = false;
std::vector<std::string> ranges;

int push_range(const char* name) {
  if (recording) ranges.emplace_back(name);
  return 0;
}

int attach(NvtxGetExportTableFunc_t get_table) {
  const auto* const table = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable functions = nullptr;
  unsigned size = 0;
  if (table == nullptr || table->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &size) == 0) return 0;
  *functions[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push_range);
  return 1;
}

}  // namespace

std::vector<std::string> take_profiled_ranges() { return std::exchange(ranges, {}); }

}  // namespace reel::runtime

int (*InitializeInjectionNvtx2_fnptr)(const void* (*get_table)(std::uint32_t table)) = reel::runtime::attach;

cudaError_t cudaProfilerStart() {
  return reel::runtime::call([](reel::runtime::Runtime&) {
    reel::runtime::recording = true;
    return cudaSuccess;
  });
}

cudaError_t cudaProfilerStop() {
  return reel::runtime::call([](reel::runtime::Runtime&) {
    reel::runtime::recording = false;
    return cudaSuccess;
  });
}
