#include "kernels/cuda/shared_library.h"

#include <dlfcn.h>

#include <utility>

#include "kernels/error.h"

namespace reel::cuda {

SharedLibrary::SharedLibrary(std::string name, const std::string& file)
    : name_(std::move(name)), library_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) throw Error("CUDA: " + name_ + " cannot be loaded: " + dlerror());
}

void* SharedLibrary::symbol(const char* function) const {
  void* const found = dlsym(library_, function);
  if (found == nullptr) throw Error("CUDA: " + name_ + " has no " + function);
  return found;
}

}  // namespace reel::cuda
