#include "host/cli/config_file.h"

#include <sstream>

#include "host/files/file.h"
#include "kernels/check.h"

namespace reel {
namespace {

bool is_bare(const std::string& value) {
  if (value == "true" || value == "false") return true;
  char* end = nullptr;
  std::strtod(value.c_str(), &end);
  return !value.empty() && *end == '\0';
}

/// A TOML value: bare for numbers and booleans, else a literal string (no escapes), or a basic one around a quote.
std::string quoted(const std::string& value) {
  if (is_bare(value)) return value;
  const char quote = value.find('\'') == std::string::npos ? '\'' : '"';
  return quote + value + quote;
}

}  // namespace

std::vector<std::string> read_config(const std::filesystem::path& path, const CLI::App& command) {
  std::istringstream text(read_file(path));
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(text);
  } catch (const CLI::Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
  std::vector<std::string> flags;
  for (const CLI::ConfigItem& item : items) {
    const std::string flag = "--" + item.name;
    const CLI::Option* option = item.parents.empty() ? command.get_option_no_throw(flag) : nullptr;
    if (option == nullptr || !option->get_configurable()) {
      fail("{}: key '{}', expected a flag of reel {}", path.string(), item.fullname(), command.get_name());
    }
    if (item.inputs.size() != 1)
      fail("{}: key '{}' has {} values, expected one", path.string(), item.name, item.inputs.size());
    flags.push_back(flag + "=" + item.inputs.front());
  }
  return flags;
}

std::string dump_config(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    const bool given = option->count() > 0;
    const std::string value = given ? option->reduced_results().back() : option->get_default_str();
    if (value.empty()) continue;
    text += option->get_lnames().front() + " = " + quoted(value) + '\n';
  }
  return text;
}

}  // namespace reel
