#include "host/cli/read_options.h"

#include "host/cli/options.h"

namespace reel {
namespace {

/// Refuses "", which is what a variable that nobody set gives.
CLI::Validator some_name() {
  const auto check = [](std::string& text) { return std::string(text.empty() ? "'', expected a column's name" : ""); };
  return CLI::Validator(check, "");
}

}  // namespace

void add_read_options(CLI::App& app, ReadOptions& options) {
  std::vector<std::pair<std::string, std::optional<Task>>> tasks = {{"auto", std::nullopt}};
  for (const auto& [name, task] : kTasks) tasks.emplace_back(name, task);
  add_choice(app, "--task", options.task, tasks,
             "What labels are: classes, several labels a text, or numbers; auto: what they look like");
  app.add_option("--text-column", options.text_columns,
                 "Columns (or keys of JSON) with the text, instead of review or text: joined where there are several")
      ->type_name("NAME[,NAME]")
      ->delimiter(',')
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->check(some_name());
  app.add_option("--label-column", options.label_column, "Column with the label, instead of sentiment or label")
      ->type_name("NAME")
      ->check(some_name());
  app.add_option("--weight-column", options.weight_column,
                 "Column with a number from 0: how much a row counts in training")
      ->type_name("NAME")
      ->check(some_name());
  app.add_flag("--soft-labels", options.soft_labels,
               "Labels are shares of classes: name:share;name:share, or an object of JSON");
}

}  // namespace reel
