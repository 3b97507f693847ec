// A named range of a profile, from construction to destruction; ranges nest.
#pragma once

#include "kernels/backend.h"

namespace reel {

template <class Real>
class Range {
 public:
  Range(Backend<Real>& backend, const char* name) : backend_(backend) { backend.begin_range(name); }
  ~Range() { backend_.end_range(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;

 private:
  Backend<Real>& backend_;
};

}  // namespace reel
