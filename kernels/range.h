// What of a device has a beginning and an end, as objects.
#pragma once

#include <atomic>
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

/// A name that no other graph of the process has. Its end is the graph's: what the graph touches, like its arguments'
/// memory, may go after it.
class GraphName {
 public:
  GraphName(Device& device, const std::string& what)
      : device_(device), name_(what + " " + std::to_string(next_number())) {}
  ~GraphName() { device_.forget_graph(name_); }
  GraphName(const GraphName&) = delete;
  GraphName& operator=(const GraphName&) = delete;
  operator const std::string&() const { return name_; }

 private:
  static int next_number() {
    static std::atomic<int> numbers{0};
    return ++numbers;
  }

  Device& device_;
  std::string name_;
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
