// Capture, graphs, and what is made of them.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "tests/cuda_runtime/state.h"

namespace reel::runtime {
namespace {

void leave_capture(Runtime& r, const std::shared_ptr<Capture>& capture) {
  for (auto& [handle, stream] : r.streams) {
    if (stream->capture != capture) continue;
    stream->capture = nullptr;
    stream->tail.clear();
  }
}

/// Whether all nodes lead to those of `tail`.
bool joined(const Nodes& nodes, const std::vector<std::size_t>& tail) {
  std::vector<bool> leads(nodes.size(), false);
  for (const std::size_t node : tail) leads[node] = true;
  for (std::size_t i = nodes.size(); i > 0; --i) {  // a node comes after those it depends on
    if (!leads[i - 1]) return false;
    for (const std::size_t before : nodes[i - 1].after) leads[before] = true;
  }
  return true;
}

bool runs(const Executable& executable) {
  return std::ranges::any_of(executable.launched, [](const auto& work) { return !work->done; });
}

}  // namespace

cudaError_t conflict_with_capture(Capture& capture, cudaError_t error) {
  capture.invalid = true;
  return error;
}

cudaError_t unsafe_while_capturing(Runtime& r) {
  for (auto& [handle, stream] : r.streams) {
    if (stream->capture && stream->capture->mode != cudaStreamCaptureModeRelaxed) {
      return conflict_with_capture(*stream->capture);
    }
  }
  return cudaSuccess;
}

std::vector<std::pair<std::string, std::string>> concurrent_nodes() {
  const Nodes& nodes = runtime().launched_last;
  std::vector<std::vector<bool>> waits_for(nodes.size());  // a node comes after those it depends on
  std::vector<std::pair<std::string, std::string>> pairs;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    waits_for[i].resize(i);
    for (const std::size_t before : nodes[i].after) {
      waits_for[i][before] = true;
      for (std::size_t j = 0; j < before; ++j) waits_for[i][j] = waits_for[i][j] || waits_for[before][j];
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (!waits_for[i][j]) pairs.emplace_back(nodes[j].kind, nodes[i].kind);
    }
  }
  return pairs;
}

std::vector<std::pair<std::string, std::vector<std::size_t>>> launched_nodes() {
  std::vector<std::pair<std::string, std::vector<std::size_t>>> nodes;
  for (const Node& node : runtime().launched_last) {
    nodes.emplace_back(node.kind, node.after);
    std::ranges::sort(nodes.back().second);
  }
  return nodes;
}

cudaError_t add_to_capture(Stream& stream, const std::string& kind, std::function<Work()> make) {
  if (stream.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  Nodes& nodes = stream.capture->nodes;
  nodes.push_back({.kind = kind, .make = std::move(make), .after = stream.tail});
  stream.tail = {nodes.size() - 1};
  return cudaSuccess;
}

}  // namespace reel::runtime

using namespace reel::runtime;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call([&](Runtime& r) {
    Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture) return conflict_with_capture(*stream->capture, cudaErrorIllegalState);
    stream->capture = std::make_shared<Capture>(Capture{.mode = mode, .origin = handle});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call([&](Runtime& r) {
    const Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    *status = !stream->capture           ? cudaStreamCaptureStatusNone
              : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call([&](Runtime& r) {
    *graph = nullptr;
    Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != handle) return conflict_with_capture(*capture, cudaErrorStreamCaptureUnmatched);
    const std::vector<std::size_t> tail = stream->tail;
    leave_capture(r, capture);
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!joined(capture->nodes, tail)) return cudaErrorStreamCaptureUnjoined;
    if (allocation_fails()) return cudaErrorMemoryAllocation;
    *graph = new_handle<cudaGraph_t>();
    r.graphs[*graph] = capture->nodes;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call([&](Runtime& r) { return r.graphs.erase(graph) == 1 ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return call([&](Runtime& r) {
    if (!r.graphs.contains(graph)) return cudaErrorInvalidValue;
    if (allocation_fails()) return cudaErrorMemoryAllocation;
    *executable = new_handle<cudaGraphExec_t>();
    r.executables[*executable] = std::make_unique<Executable>(Executable{.nodes = r.graphs[graph]});
    return cudaSuccess;
  });
}

/// Refuses another topology. What has been launched keeps its arguments.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* result) {
  return call([&](Runtime& r) {
    const auto found = r.executables.find(executable);
    if (found == r.executables.end() || !r.graphs.contains(graph)) return cudaErrorInvalidValue;
    Nodes& before = found->second->nodes;
    const Nodes& now = r.graphs[graph];
    *result = {};
    if (before != now) {
      result->result = cudaGraphExecUpdateErrorTopologyChanged;
      return cudaErrorGraphExecUpdateFailure;
    }
    before = now;
    return cudaSuccess;
  });
}

/// Nodes run in an order that the seed draws, each after those it depends on.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  return call([&](Runtime& r) {
    const auto found = r.executables.find(executable);
    Stream* const stream = find(r, handle);
    if (found == r.executables.end() || stream == nullptr) return cudaErrorInvalidValue;
    if (stream->capture) return conflict_with_capture(*stream->capture);
    Executable& e = *found->second;
    std::erase_if(e.launched, [](const auto& work) { return work->done; });
    const std::vector<std::shared_ptr<Work>> before = e.launched;  // an executable does not run beside itself
    std::vector<std::shared_ptr<Work>> works(e.nodes.size());
    std::vector<std::size_t> waits_for(e.nodes.size()), ready;
    std::vector<std::vector<std::size_t>> followers(e.nodes.size());
    for (std::size_t i = 0; i < e.nodes.size(); ++i) {
      waits_for[i] = e.nodes[i].after.size();
      for (const std::size_t node : e.nodes[i].after) followers[node].push_back(i);
      if (waits_for[i] == 0) ready.push_back(i);
    }
    while (!ready.empty()) {
      std::swap(ready[r.options.seed == 0 ? 0 : r.draw() % ready.size()], ready.back());
      const std::size_t chosen = ready.back();
      ready.pop_back();
      Work work = e.nodes[chosen].make();
      work.after.insert(work.after.end(), before.begin(), before.end());
      works[chosen] = push(*stream, std::move(work));
      for (const std::size_t follower : followers[chosen]) {
        if (--waits_for[follower] == 0) ready.push_back(follower);
      }
    }
    e.launched.insert(e.launched.end(), works.begin(), works.end());
    r.launched_last = e.nodes;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call([&](Runtime& r) {
    const auto found = r.executables.find(executable);
    if (found == r.executables.end()) return cudaErrorInvalidValue;
    if (runs(*found->second)) violation("cudaGraphExecDestroy while the graph has not run to its end");
    r.executables.erase(found);
    return cudaSuccess;
  });
}
