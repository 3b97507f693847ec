// What of a device has a beginning and an end, as objects.
#pragma once

#include <string>

#include "kernels/device.h"

namespace reel {

/// A named range of a profile, from construction to destruction; ranges nest.
class ProfileRange {
 public:
  ProfileRange(Device& device, const char* name) : device_(device) { device.begin_range(name); }
  ~ProfileRange() { device_.end_range(); }
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;

 private:
  Device& device_;
};

/// Collects what is enqueued from construction to launch(), which starts it as one graph. Destroyed before that, as
/// when an operation throws, it starts nothing.
class GraphCapture {
 public:
  GraphCapture(Device& device, const std::string& name) : device_(device) { device.begin_graph(name); }
  ~GraphCapture() {
    if (!launched_) device_.abandon_graph();
  }
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  void launch() {
    launched_ = true;
    device_.end_graph();
  }

 private:
  Device& device_;
  bool launched_ = false;
};

}  // namespace reel
