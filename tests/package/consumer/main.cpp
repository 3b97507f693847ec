#include <cstdio>

#include "host/train/trainer.h"
#include "kernels/make_backend.h"

int main() {
  const auto backend = reel::make_backend({.threads = 1});
  std::printf("%lld parameters on %s\n", static_cast<long long>(reel::parameter_count({})),
              backend->info().name.c_str());
  return reel::parameter_count({}) == 1313025 ? 0 : 1;
}
