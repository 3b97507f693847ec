// Streams and events. Work waits in its stream's queue until something waits for it.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/cuda_runtime/state.h"

namespace reel::runtime {
namespace {

/// Takes the first of the queue and runs it, after what it comes after.
void run_first(Runtime& r, Stream& stream) {
  const std::shared_ptr<Work> work = stream.queue.front();
  stream.queue.pop_front();
  for (const auto& before : work->after) run_until(r, before);
  if (r.sticky != cudaSuccess) return;
  work->run();
  work->done = true;
  work->done_at = std::chrono::steady_clock::now();
  work->after.clear();
}

const char* name_of(MemoryKind kind) {
  return kind == MemoryKind::kDevice ? "device" : kind == MemoryKind::kPinned ? "pinned" : "pageable";
}

/// The copy at the moment it runs. From the host it must find what was there when it was asked for.
void copy_now(Runtime& r, void* to, const void* from, std::size_t bytes, const std::string& what,
              const std::shared_ptr<Bytes>& promised) {
  MemoryKind kind{};
  if (!locate(r, to, bytes, kind) || !locate(r, from, bytes, kind)) {
    return fail_device(r, cudaErrorIllegalAddress, what + ": of memory that has been freed");
  }
  if (promised != nullptr && std::memcmp(from, promised->data(), bytes) != 0) {
    violation(what + ": the host has changed its memory before the copy ran");
  }
  std::memcpy(to, from, bytes);
}

}  // namespace

Stream* find(Runtime& r, cudaStream_t stream) {
  if (stream == nullptr) {
    violation("work on the legacy default stream, which is not ordered with others");
    return nullptr;
  }
  const auto found = r.streams.find(stream);
  return found == r.streams.end() ? nullptr : found->second.get();
}

Event* find(Runtime& r, cudaEvent_t event) {
  const auto found = r.events.find(event);
  return found == r.events.end() ? nullptr : found->second.get();
}

std::shared_ptr<Work> push(Stream& stream, Work work) {
  auto pushed = std::make_shared<Work>(std::move(work));
  pushed->stream = &stream;
  stream.queue.push_back(pushed);
  return pushed;
}

cudaError_t enqueue(cudaStream_t handle, const std::string& kind, std::function<Work()> make) {
  Runtime& r = runtime();
  Stream* const stream = find(r, handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture) return add_to_capture(*stream, kind, std::move(make));
  push(*stream, make());
  return cudaSuccess;
}

void run_until(Runtime& r, const std::shared_ptr<Work>& last) {
  if (last->done) return;
  const DeviceAccess access;
  while (!last->done && r.sticky == cudaSuccess) run_first(r, *last->stream);
}

void run_all(Runtime& r, Stream& stream) {
  if (stream.queue.empty()) return;
  const DeviceAccess access;
  while (!stream.queue.empty() && r.sticky == cudaSuccess) run_first(r, stream);
}

void progress(Runtime& r) {
  if (r.options.seed == 0 || r.draw() % 3 != 0) return;
  std::vector<Stream*> busy;
  for (auto& [handle, stream] : r.streams) {
    if (!stream->queue.empty()) busy.push_back(stream.get());
  }
  if (busy.empty()) return;
  Stream& stream = *busy[r.draw() % busy.size()];
  const DeviceAccess access;
  for (auto count = 1 + r.draw() % 4; count > 0 && !stream.queue.empty(); --count) run_first(r, stream);
}

}  // namespace reel::runtime

using namespace reel::runtime;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&](Runtime& r) {
    if (flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;  // Reel has no other
    if (allocation_fails()) return cudaErrorMemoryAllocation;
    *stream = new_handle<cudaStream_t>();
    r.streams[*stream] = std::make_unique<Stream>();
    r.streams[*stream]->handle = *stream;
    return cudaSuccess;
  });
}

/// Its work runs all the same, some time.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call([&](Runtime& r) {
    Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture) stream->capture->invalid = true;
    if (!stream->queue.empty()) r.destroyed_streams.push_back(std::move(r.streams[handle]));
    r.streams.erase(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&](Runtime& r) {
    Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture) return conflict_with_capture(*stream->capture);
    run_all(r, *stream);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([&](Runtime& r) {
    for (auto& [handle, stream] : r.streams) {
      if (stream->capture) return conflict_with_capture(*stream->capture);
    }
    for (auto& [handle, stream] : r.streams) run_all(r, *stream);
    for (auto& stream : r.destroyed_streams) run_all(r, *stream);
    r.destroyed_streams.clear();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t event_handle, unsigned) {
  return call([&](Runtime& r) {
    Stream* const stream = find(r, stream_handle);
    Event* const event = find(r, event_handle);
    if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture) {  // the stream joins
      if (stream->capture != nullptr && stream->capture != event->capture) return cudaErrorStreamCaptureMerge;
      stream->capture = event->capture;
      stream->tail.insert(stream->tail.end(), event->tail.begin(), event->tail.end());
      return cudaSuccess;
    }
    if (stream->capture) return conflict_with_capture(*stream->capture, cudaErrorStreamCaptureIsolation);
    if (event->record) push(*stream, {.what = "wait for an event", .run = [] {}, .after = {event->record}});
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&](Runtime& r) {
    if (allocation_fails()) return cudaErrorMemoryAllocation;
    *event = new_handle<cudaEvent_t>();
    r.events[*event] = std::make_unique<Event>();
    r.events[*event]->timing = (flags & cudaEventDisableTiming) == 0;
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call([&](Runtime& r) { return r.events.erase(event) == 1 ? cudaSuccess : cudaErrorInvalidResourceHandle; });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t stream_handle) {
  return call([&](Runtime& r) {
    Stream* const stream = find(r, stream_handle);
    Event* const event = find(r, event_handle);
    if (stream == nullptr || event == nullptr) return cudaErrorInvalidResourceHandle;
    event->capture = stream->capture;
    event->tail = stream->tail;
    if (stream->capture) return cudaSuccess;
    event->record = push(*stream, {.what = "record of an event", .run = [] {}});
    event->refusals = r.options.seed == 0 ? 3 : 1 + static_cast<int>(r.draw() % 4);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&](Runtime& r) {
    Event* const event = find(r, handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture) return conflict_with_capture(*event->capture, cudaErrorCapturedEvent);
    if (const cudaError_t error = unsafe_while_capturing(r)) return error;
    if (event->record == nullptr || event->record->done) return cudaSuccess;
    if (event->refusals-- > 0) return cudaErrorNotReady;
    run_until(r, event->record);
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&](Runtime& r) {
    Event* const event = find(r, handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->capture) return conflict_with_capture(*event->capture, cudaErrorCapturedEvent);
    if (event->record) run_until(r, event->record);
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call([&](Runtime& r) {
    const Event *const first = find(r, begin), *const last = find(r, end);
    if (first == nullptr || last == nullptr || !first->timing || !last->timing || !first->record || !last->record) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!first->record->done || !last->record->done) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(last->record->done_at - first->record->done_at).count();
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&](Runtime& r) {
    MemoryKind kind{};
    if (!locate(r, memory, bytes, kind) || kind != MemoryKind::kDevice) return cudaErrorInvalidValue;
    const auto run = [&r, memory, value, bytes] {
      MemoryKind now{};
      if (!locate(r, memory, bytes, now)) return fail_device(r, cudaErrorIllegalAddress, "memset of freed memory");
      std::memset(memory, value, bytes);
    };
    return enqueue(stream, "memset", [run] { return Work{.what = "memset", .run = run}; });
  });
}

/// The host's memory is read, or written, when the copy runs: also pageable memory, of which CUDA says only that it may
/// be staged. What is to be written is undefined until then.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  return call([&](Runtime& r) {
    MemoryKind to_kind{}, from_kind{};
    if (!locate(r, to, bytes, to_kind) || !locate(r, from, bytes, from_kind)) return cudaErrorInvalidValue;
    const bool to_device = to_kind == MemoryKind::kDevice, from_device = from_kind == MemoryKind::kDevice;
    const cudaMemcpyKind kinds[2][2] = {{cudaMemcpyHostToHost, cudaMemcpyHostToDevice},
                                        {cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice}};
    if (kind != cudaMemcpyDefault && kind != kinds[from_device][to_device]) return cudaErrorInvalidValue;
    const Stream* const stream = find(r, handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture && (to_kind == MemoryKind::kPageable || from_kind == MemoryKind::kPageable)) {
      return conflict_with_capture(*stream->capture);
    }
    const std::string what = std::string("copy from ") + name_of(from_kind) + " to " + name_of(to_kind) + " memory";
    const void* const pinned = to_kind == MemoryKind::kPinned ? to : from_kind == MemoryKind::kPinned ? from : nullptr;
    return enqueue(handle, what, [=, &r] {
      if (!to_device) std::memset(to, 0xFF, bytes);
      std::shared_ptr<Bytes> promised;
      if (!from_device) {
        const auto* const begin = static_cast<const std::byte*>(from);
        promised = std::make_shared<Bytes>(begin, begin + bytes);
      }
      return Work{.what = what, .run = [=, &r] { copy_now(r, to, from, bytes, what, promised); }, .pinned = pinned};
    });
  });
}
