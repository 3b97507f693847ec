#include "host/cli/config_file.h"

#include <algorithm>

#include "host/files/toml.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Whether TOML reads the value bare, and as what it is; of a number like ".5" or 2^64 it does not.
bool reads_bare(const std::string& value) {
  try {
    return parse_toml("value = " + value, "")["value"] == value;
  } catch (const Error&) {
    return false;
  }
}

bool is_flag(const CLI::Option& option) { return option.get_expected_max() == 0; }

/// A flag's value as a boolean, of the words that older versions wrote: what the command line was given. "" if it is
/// none.
std::string boolean(std::string value) {
  value = CLI::detail::to_lower(value);
  for (const char* const word : {"true", "on", "yes", "enable", "t", "y", "+", "1"}) {
    if (value == word) return "true";
  }
  for (const char* const word : {"false", "off", "no", "disable", "f", "n", "-", "0"}) {
    if (value == word) return "false";
  }
  return "";
}

/// Numbers and booleans stand bare; so do not the names of files, though they may look like numbers.
bool is_bare(const CLI::Option& option, const std::string& value) {
  const std::string type = option.get_type_name();
  const bool number = type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT");
  return (is_flag(option) || number) && reads_bare(value);
}

/// The value that a configuration gives the option; of a flag, which takes "yes" and more on the command line, a
/// boolean.
std::string value_of(const CLI::Option& option) {
  if (option.count() == 0) return option.get_default_str();
  if (is_flag(option)) return option.as<bool>() ? "true" : "false";
  if (option.get_delimiter() != '\0')
    return fmt::format("{}", fmt::join(option.results(), std::string(1, option.get_delimiter())));
  return option.reduced_results().back();
}

/// The option of a key; null where there is none that a configuration may set. (CLI11's own search is noexcept, and
/// allocates.)
const CLI::Option* option_of(const CLI::App& command, const std::string& key) {
  for (const CLI::Option* option : command.get_options()) {
    const std::vector<std::string>& names = option->get_lnames();
    if (option->get_configurable() && std::ranges::find(names, key) != names.end()) return option;
  }
  return nullptr;
}

/// Where older versions wrote "" for none.
bool takes_path(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  return type == "PATH" || type.starts_with("FILE");
}

}  // namespace

std::vector<std::string> parse_config(const std::string& text, const std::filesystem::path& path,
                                      const CLI::App& command, Booleans booleans) {
  std::vector<std::string> flags;
  for (auto& [key, value] : parse_toml(text, path.string())) {
    const std::string flag = "--" + key;
    const CLI::Option* const option = option_of(command, key);
    if (option == nullptr) {
      fail("{}: key '{}', expected a flag of reel {} that a configuration may set", path.string(), key,
           command.get_name());
    }
    if (value.empty() && takes_path(*option)) continue;
    if (value.find('\0') != value.npos) fail("{}: key '{}': a zero byte in '{}'", path.string(), key, value);
    if (is_flag(*option)) {
      const std::string read = boolean(value);
      if (read.empty() || (booleans == Booleans::kStrict && value != read))
        fail("{}: key '{}' is '{}', expected true or false", path.string(), key, value);
      value = read;
    }
    flags.push_back(value.empty() ? flag : flag + "=" + value);
    if (value.empty()) flags.emplace_back();  // CLI11 takes "--flag=" for "--flag" and the next argument
  }
  return flags;
}

std::string dump_config(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    const std::string value = value_of(*option), &key = option->get_lnames().front();
    if (option->count() == 0 && value.empty()) continue;
    const std::string line = key + " = " + (is_bare(*option, value) ? value : toml_string(value)) + '\n';
    if (parse_toml(line, "--" + key)[key] != value) {
      fail("--{}: '{}', expected something that a TOML file can hold: UTF-8", key, value);
    }
    text += line;
  }
  return text;
}

}  // namespace reel
