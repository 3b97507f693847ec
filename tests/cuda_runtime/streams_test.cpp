// When work runs, and what the host may do meanwhile.
#include <cstring>

#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {
namespace {

class RuntimeStreams : public RuntimeTest {
 protected:
  static bool is_undefined(const float* memory) {
    return std::all_of(memory, memory + kCount, [](float value) { return std::isnan(value); });
  }
};

TEST_F(RuntimeStreams, WorkRunsWhenSomethingWaitsForIt) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  float* const pinned = make_pinned_memory();
  std::fill(pinned, pinned + kCount, 7.0f);
  fill({memory, kCount, 3}, stream);
  EXPECT_EQ(cudaMemcpyAsync(pinned, memory, kBytes, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  const cudaEvent_t event = make_event();
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  make_device_memory();
  EXPECT_TRUE(is_undefined(pinned)) << "what a copy will write is undefined until then";
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(std::vector<float>(pinned, pinned + kCount), all(3));
}

TEST_F(RuntimeStreams, ASeedDrawsWhenItRuns) {
  int early = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    reset();
    set_options({.seed = seed});
    const cudaStream_t stream = make_stream();
    float* const pinned = make_pinned_memory();
    EXPECT_EQ(cudaMemcpyAsync(pinned, make_device_memory(), kBytes, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    fill({make_device_memory(), kCount, 1}, stream);
    const cudaEvent_t event = make_event();
    cudaEventRecord(event, stream);
    if (cudaEventQuery(event) == cudaSuccess) ++early;
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  }
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 20);
}

TEST_F(RuntimeStreams, AnEventAnswersNotReadyFirst) {
  const cudaStream_t stream = make_stream();
  const cudaEvent_t event = make_event();
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess) << "it was never recorded";
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  int queries = 1;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++queries;
  EXPECT_EQ(queries, 3);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady) << "recorded anew";
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
}

TEST_F(RuntimeStreams, PageableMemoryIsReadWhenTheCopyRuns) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  std::vector<float> host = all(1);
  const Violations violations;
  EXPECT_EQ(cudaMemcpyAsync(memory, host.data(), kBytes, cudaMemcpyHostToDevice, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(violations.found(), testing::IsEmpty());
  EXPECT_EQ(cudaMemcpyAsync(memory, host.data(), kBytes, cudaMemcpyDefault, stream), cudaSuccess);
  host[0] = 2;
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(violations.found(), testing::ElementsAre("copy from pageable to device memory: the host has changed its "
                                                       "memory before the copy ran"));
  EXPECT_EQ(read(memory, stream)[0], 2);
}

TEST_F(RuntimeStreams, PinnedMemoryIsReadWhenTheCopyRuns) {
  const cudaStream_t stream = make_stream();
  float* const pinned = make_pinned_memory();
  std::fill(pinned, pinned + kCount, 1.0f);
  const Violations violations;
  EXPECT_EQ(cudaMemcpyAsync(make_device_memory(), pinned, kBytes, cudaMemcpyHostToDevice, stream), cudaSuccess);
  pinned[3] = 2;
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(violations.found(), testing::ElementsAre(testing::HasSubstr("copy from pinned to device memory")));
}

TEST_F(RuntimeStreams, EventsOrderStreams) {
  const cudaStream_t first = make_stream(), second = make_stream();
  float* const memory = make_device_memory();
  const cudaEvent_t event = make_event();
  fill({memory, kCount, 1}, first);
  EXPECT_EQ(cudaEventRecord(event, first), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
  increase({memory, kCount, 1}, second);
  EXPECT_EQ(read(memory, second), all(2));
}

TEST_F(RuntimeStreams, WithoutAnEventTheOrderIsNotKept) {
  const cudaStream_t first = make_stream(), second = make_stream();
  float* const memory = make_device_memory();
  fill({memory, kCount, 1}, first);
  increase({memory, kCount, 1}, second);
  EXPECT_NE(read(memory, second), all(2));
}

TEST_F(RuntimeStreams, TheLegacyDefaultStreamIsAViolation) {
  const Violations violations;
  EXPECT_EQ(cudaMemsetAsync(make_device_memory(), 0, kBytes, nullptr), cudaErrorInvalidResourceHandle);
  EXPECT_THAT(violations.found(), testing::ElementsAre(testing::HasSubstr("legacy default stream")));
}

TEST_F(RuntimeStreams, TimesAreOfEventsThatHaveRun) {
  const cudaStream_t stream = make_stream();
  const cudaEvent_t begin = make_event(), end = make_event(), untimed = make_event(cudaEventDisableTiming);
  for (const cudaEvent_t event : {begin, end, untimed}) EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(untimed), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, untimed), cudaErrorInvalidResourceHandle);
}

TEST_F(RuntimeStreams, CopiesHaveADirectionAndBounds) {
  const cudaStream_t stream = make_stream();
  float* const memory = make_device_memory();
  std::vector<float> host = all(0);
  EXPECT_EQ(cudaMemcpyAsync(memory, host.data(), kBytes, cudaMemcpyDeviceToHost, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(memory, host.data(), kBytes + 1, cudaMemcpyHostToDevice, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(memory + 1, 0, kBytes, stream), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace reel::runtime
