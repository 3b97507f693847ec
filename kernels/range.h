// What of a backend has a beginning and an end, as objects.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace reel {

/// A named range of a profile, from construction to destruction; ranges nest.
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

/// Collects what is enqueued from construction to launch(), which starts it as one graph. Destroyed before that, as
/// when an operation throws, it starts nothing.
template <class Real>
class GraphCapture {
 public:
  GraphCapture(Backend<Real>& backend, const std::string& name) : backend_(backend) { backend.begin_graph(name); }
  ~GraphCapture() {
    if (!launched_) backend_.abandon_graph();
  }
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  void launch() {
    launched_ = true;
    backend_.end_graph();
  }

 private:
  Backend<Real>& backend_;
  bool launched_ = false;
};

}  // namespace reel
