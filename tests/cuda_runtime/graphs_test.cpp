// Capture as a state machine, and what becomes of its graphs.
#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {
namespace {

class RuntimeCapture : public RuntimeTest {
 protected:
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed) {
    EXPECT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  cudaGraph_t end(cudaError_t expected = cudaSuccess) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), expected);
    EXPECT_EQ(graph == nullptr, expected != cudaSuccess);
    return graph;
  }
  cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    return executable;
  }
  static cudaError_t update(cudaGraphExec_t executable, cudaGraph_t graph) {
    cudaGraphExecUpdateResultInfo result{};
    return cudaGraphExecUpdate(executable, graph, &result);
  }
  /// The capture is lost: everything fails until it has ended, then all is as before.
  void expect_invalid() {
    cudaStreamCaptureStatus status{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_THAT(refusal([&] {
                  fill({memory_, kCount, 1}, stream_);
                }),
                testing::HasSubstr("previous error during capture"));
    end(cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }

  cudaStream_t stream_ = make_stream();
  float* memory_ = make_device_memory();
};

using RuntimeGraphs = RuntimeCapture;

TEST_F(RuntimeCapture, CollectsAndRunsNothing) {
  fill({memory_, kCount, 1}, stream_);
  begin();
  fill({memory_, kCount, 2}, stream_);
  const cudaGraph_t graph = end();
  EXPECT_EQ(read(memory_, stream_), all(1));
  const cudaGraphExec_t executable = instantiate(graph);
  EXPECT_EQ(read(memory_, stream_), all(1));
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  EXPECT_EQ(read(memory_, stream_), all(2));
}

TEST_F(RuntimeCapture, CopiesArguments) {
  FillArgs args{memory_, kCount, 1};
  begin();
  fill(args, stream_);
  args = {nullptr, 0, 0};
  const cudaGraphExec_t executable = instantiate(end());
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  EXPECT_EQ(read(memory_, stream_), all(1));
}

TEST_F(RuntimeCapture, IsInvalidatedBySynchronizing) {
  begin();
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  expect_invalid();
  begin();
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  expect_invalid();
}

TEST_F(RuntimeCapture, IsInvalidatedByAskingForAnEventOfIt) {
  const cudaEvent_t event = make_event();
  begin();
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorCapturedEvent);
  expect_invalid();
  begin();
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorCapturedEvent);
  expect_invalid();
}

TEST_F(RuntimeCapture, IsInvalidatedByPageableMemory) {
  std::vector<float> host = all(1);
  begin();
  EXPECT_EQ(cudaMemcpyAsync(memory_, host.data(), kBytes, cudaMemcpyHostToDevice, stream_),
            cudaErrorStreamCaptureUnsupported);
  expect_invalid();
}

TEST_F(RuntimeCapture, IsInvalidatedByAllocatingUnlessItIsRelaxed) {
  void* memory = nullptr;
  for (const cudaStreamCaptureMode mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
    begin(mode);
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorStreamCaptureUnsupported);
    expect_invalid();
  }
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
  end();
}

TEST_F(RuntimeCapture, BeginsOnceAndEndsOnce) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState);
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), cudaErrorIllegalState);
  expect_invalid();
}

TEST_F(RuntimeCapture, OfAnotherStreamHasToJoinAgain) {
  const cudaStream_t other = make_stream();
  const cudaEvent_t fork = make_event(), join = make_event();
  for (const bool joins : {false, true}) {
    begin();
    fill({memory_, kCount, 1}, stream_);
    EXPECT_EQ(cudaEventRecord(fork, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork, 0), cudaSuccess);
    increase({memory_, kCount, 1}, other);
    EXPECT_EQ(cudaEventRecord(join, other), cudaSuccess);
    if (joins) {
      EXPECT_EQ(cudaStreamWaitEvent(stream_, join, 0), cudaSuccess);
    }
    const cudaGraph_t graph = end(joins ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    if (!joins) continue;
    EXPECT_EQ(cudaGraphLaunch(instantiate(graph), stream_), cudaSuccess);
    EXPECT_EQ(read(memory_, stream_), all(2));
  }
}

TEST_F(RuntimeCapture, DoesNotWaitForWorkOutsideIt) {
  const cudaStream_t other = make_stream();
  const cudaEvent_t event = make_event();
  EXPECT_EQ(cudaEventRecord(event, other), cudaSuccess);
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event, 0), cudaErrorStreamCaptureIsolation);
  expect_invalid();
}

TEST_F(RuntimeGraphs, AnUpdateExchangesArguments) {
  begin();
  fill({memory_, kCount, 1}, stream_);
  const cudaGraphExec_t executable = instantiate(end());
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  float* const other = make_device_memory();
  begin();
  fill({other, kCount, 5}, stream_);
  EXPECT_EQ(update(executable, end()), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  EXPECT_EQ(read(memory_, stream_), all(1)) << "the launch before keeps its arguments";
  EXPECT_EQ(read(other, stream_), all(5));
}

TEST_F(RuntimeGraphs, AnUpdateRefusesAnotherTopology) {
  begin();
  fill({memory_, kCount, 1}, stream_);
  const cudaGraphExec_t executable = instantiate(end());
  begin();
  fill({memory_, kCount, 1}, stream_);
  fill({memory_, kCount, 1}, stream_);
  EXPECT_EQ(update(executable, end()), cudaErrorGraphExecUpdateFailure) << "more nodes";
  begin();
  increase({memory_, kCount, 1}, stream_);
  EXPECT_EQ(update(executable, end()), cudaErrorGraphExecUpdateFailure) << "another kernel";
  begin();
  EXPECT_EQ(cudaMemsetAsync(memory_, 0, kBytes, stream_), cudaSuccess);
  EXPECT_EQ(update(executable, end()), cudaErrorGraphExecUpdateFailure) << "another kind of node";
}

TEST_F(RuntimeGraphs, AreNotDestroyedWhileTheyRun) {
  begin();
  fill({memory_, kCount, 1}, stream_);
  const cudaGraphExec_t executable = instantiate(end());
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  const Violations violations;
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_THAT(violations.found(), testing::ElementsAre(testing::HasSubstr("while the graph has not run to its end")));
}

TEST_F(RuntimeGraphs, MayBeDestroyedWhenTheyHaveRun) {
  begin();
  fill({memory_, kCount, 1}, stream_);
  const cudaGraph_t graph = end();
  const cudaGraphExec_t executable = instantiate(graph);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess) << "what was made of it stays";
  EXPECT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  EXPECT_EQ(read(memory_, stream_), all(1));
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
}

}  // namespace
}  // namespace reel::runtime
