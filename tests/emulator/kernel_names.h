// The mangled names of kernels.
#pragma once

#include <string>

namespace reel::emulator {

/// What both compilers mangle alike of a kernel in an anonymous namespace: "18rnn_forward_kernelILi64E...". Empty for a
/// function that is not in this program's symbol table.
std::string kernel_name(const void* kernel);

}  // namespace reel::emulator
