// CUDA's libraries, loaded when they are needed.
#pragma once

#include <string>

namespace reel::cuda {

/// Throws Error where the library or a function is missing. Never closed: such libraries keep state of their own.
class SharedLibrary {
 public:
  /// `name` is for people, `file` for the loader: "libcudnn.so.9".
  SharedLibrary(std::string name, const std::string& file);

  template <class Function>
  Function find(const char* function) const {
    return reinterpret_cast<Function>(symbol(function));
  }

 private:
  void* symbol(const char* function) const;

  std::string name_;
  void* library_;
};

}  // namespace reel::cuda
