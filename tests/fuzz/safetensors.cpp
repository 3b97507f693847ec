#include "host/files/safetensors.h"

#include "tests/fuzz/fuzz.h"

REEL_FUZZ({
  const reel::fuzz::File file(text);
  const reel::SafetensorsFile tensors(file.path());
  for (const auto& [name, tensor] : tensors.tensors()) {
    if (tensor.dtype == "F32") tensors.get<float>(name, tensor.shape);
  }
})
