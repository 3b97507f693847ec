// Sources that say themselves what their labels are, and have no columns.
#include <algorithm>
#include <utility>

#include "host/text/label_index.h"
#include "host/text/readers.h"
#include "kernels/check.h"

namespace reel {
namespace {

/// Labels of other names in other places: those of `to`, which has to have them all.
void renumber(Corpus& corpus, const LabelSet& to) {
  const LabelIndex index(to);
  std::vector<std::int32_t> places;
  for (const std::string& name : corpus.labels.names) {
    const auto place = index.find(name);
    if (!place) fail_unknown_label(corpus.source, name, to);
    places.push_back(*place);
  }
  if (to.task == Task::kClassify && !corpus.train.targets.empty()) {
    fail("{}: soft labels of {} classes, expected the model's {}", corpus.source, corpus.labels.classes(),
         to.classes());
  }
  for (Reviews* const reviews : {&corpus.train, &corpus.test}) {
    std::vector<std::int32_t>& numbers = to.task == Task::kClassify ? reviews->labels : reviews->targets.columns;
    for (std::int32_t& number : numbers) number = places[static_cast<std::size_t>(number)];
  }
}

}  // namespace

void expect_no_columns(const std::string& source, const ReadOptions& options) {
  const char* const asked = !options.text_columns.empty()    ? "--text-column"
                            : !options.label_column.empty()  ? "--label-column"
                            : !options.weight_column.empty() ? "--weight-column"
                            : options.soft_labels            ? "--soft-labels"
                                                             : nullptr;
  if (asked != nullptr) fail("{}: has labels of its own and no columns: expected no {}", source, asked);
}

Corpus with_own_labels(Corpus corpus, const ReadOptions& options) {
  const Task task = corpus.labels.task;
  if (options.task && *options.task != task) {
    fail("--task {}: {} has labels of its own, of the task {}", name_of(*options.task), corpus.source, name_of(task));
  }
  if (!options.labels || *options.labels == corpus.labels) return corpus;
  const LabelSet& model = *options.labels;
  if (model.task != task) fail("{}: its task is {}, the model's {}", corpus.source, name_of(task), name_of(model.task));
  const bool in_place = are_two_class(model) && are_two_class(corpus.labels);
  if (!in_place) renumber(corpus, model);
  corpus.labels = model;
  return corpus;
}

}  // namespace reel
