// A backend on a device of the stand-in.
#pragma once

#include "tests/cuda_runtime/fixture.h"

namespace reel::runtime {

class RuntimeBackend : public RuntimeTest {
 protected:
  /// Work that touches what it may not is seen when it runs, perhaps after the test.
  void TearDown() override {
    cudaDeviceSynchronize();
    EXPECT_EQ(kernel_error(), "");
  }
  static void use(const Options& options) {
    reset();
    set_options(options);
  }
};

}  // namespace reel::runtime
