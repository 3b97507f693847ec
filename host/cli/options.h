// Small helpers around CLI11 that every command uses.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <concepts>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "kernels/make_backend.h"

namespace reel {

/// A flag that takes one of a few words, as in --padding post|pre; its default is what `target` holds.
template <class Enum>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Enum& target,
                        const std::vector<std::pair<std::string, Enum>>& words, const std::string& help) {
  std::string all;
  for (const auto& [word, value] : words) all += (all.empty() ? "" : "|") + word;
  CLI::Option* option = app.add_option_function<std::string>(
      name,
      [&target, words, name, all](const std::string& given) {
        for (const auto& [word, value] : words) {
          if (word == given) {
            target = value;
            return;
          }
        }
        throw CLI::ValidationError(name.substr(0, name.find(',')), fmt::format("'{}', expected {}", given, all));
      },
      help);
  for (const auto& [word, value] : words) {
    if (value == target) option->default_str(word);
  }
  return option->type_name(all);
}

/// A number, for CLI::Option::transform: decimal, where CLI11 would read 010 as 8, 1e-400 as 0 and -1 as 2^64 - 1.
template <class T>
CLI::Validator within(T least, T most) {
  const auto read = [least, most](std::string& text) -> std::string {
    T value{};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + text.starts_with('+'), end, value);
    if (text.starts_with("+-") || error != std::errc() || rest != end ||
        !(value >= least && value <= most)) {  // nan is in no range
      return fmt::format("'{}', expected a {} from {} to {}", text, std::integral<T> ? "whole number" : "number", least,
                         most);
    }
    if constexpr (std::integral<T>) text = std::to_string(value);
    return "";
  };
  return CLI::Validator(read, "");
}

/// Refuses "", which is what a variable that nobody set gives.
CLI::Validator some_path();

/// A flag that takes some path; `type` is what --help calls it.
CLI::Option* add_path(CLI::App& app, const std::string& name, std::filesystem::path& target, const std::string& type,
                      const std::string& help);

/// CLI11 takes "--flag=" for "--flag" and the next argument, whatever that is: here they are two.
std::vector<std::string> with_empty_values(const std::vector<std::string>& arguments);

/// CLI11 reads an argument in square brackets as a list and "++" as the end of a command. Both are texts here: they go
/// through the parser with a mark before them, which take_mark() removes.
std::string with_mark(std::string argument);
std::string take_mark(std::string argument);

/// Where and how to compute; what --device, --precision, --mixed-products, --recurrence, --threads and --no-graph say;
/// and --timings of `reel train`.
struct DeviceOptions {
  enum class Device { kAuto, kCpu, kCuda };
  Device device = Device::kAuto;
  Precision precision = Precision::kFloat32;
  MixedProducts mixed_products = MixedProducts::kAuto;
  Recurrence recurrence = Recurrence::kReel;
  int threads = 0;
  bool no_graph = false;
  bool timings = false;

  void add_to(CLI::App& app);
  DeviceKind kind() const;
  /// Whether mixed_products says anything.
  bool mixes_on_cpu() const { return precision == Precision::kMixed && kind() == DeviceKind::kCpu; }
  std::unique_ptr<Backend<float>> make() const;
  /// Why --device auto came to the CPU, or nothing.
  std::string fallback() const;
  /// That --precision mixed does nothing for a model of such cells, or "".
  std::string unused_precision(Cell cell) const;
  /// That --mixed-products does nothing, or "": a run's config.toml has it, and may be used elsewhere.
  std::string unused_products() const;
};

/// A table: a line for each range, its share in that around it.
std::string to_text(const std::vector<RangeTiming>& timings);
/// "AMD EPYC 7B13, AVX2, 2 threads"
std::string to_text(const DeviceInfo& info);

}  // namespace reel
