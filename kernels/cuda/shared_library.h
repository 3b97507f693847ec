// CUDA's libraries, loaded when they are needed.
#pragma once

#include <dlfcn.h>

#include <string>

#include "kernels/error.h"

namespace reel::REEL_CUDA_BUILD {

/// Throws Error where the library or a function is missing. Never closed: such libraries keep state of their own.
class SharedLibrary {
 public:
  /// `name` is for people, `file` for the loader: "libcudnn.so.9".
  SharedLibrary(std::string name, const std::string& file)
      : name_(std::move(name)), library_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) throw Error("CUDA: " + name_ + " cannot be loaded: " + dlerror());
  }
  template <class Function>
  Function find(const char* function) const {
    void* const symbol = dlsym(library_, function);
    if (symbol == nullptr) throw Error("CUDA: " + name_ + " has no " + function);
    return reinterpret_cast<Function>(symbol);
  }

 private:
  std::string name_;
  void* library_;
};

}  // namespace reel::REEL_CUDA_BUILD
