// Rows of any kind, whose first byte says what they are read as.
#include "host/text/readers.h"
#include "tests/fuzz/fuzz.h"

namespace {

reel::ReadOptions options_of(unsigned char bits) {
  reel::ReadOptions options;
  if ((bits & 3) != 0) options.task = reel::kTasks[(bits & 3) - 1].second;
  options.soft_labels = (bits & 4) != 0;
  if ((bits & 8) != 0) options.weight_column = "label";
  if ((bits & 16) != 0) options.labels = reel::LabelSet{};
  if ((bits & 32) != 0) options.text_columns = {"text", "label"};
  return options;
}

}  // namespace

REEL_FUZZ({
  if (text.empty()) return;
  const reel::fuzz::File file(text.substr(1));
  const reel::ReadOptions options = options_of(static_cast<unsigned char>(text[0]));
  const reel::Corpus corpus = reel::read_labelled_rows(file.path(), file.path(), options);
  const auto outputs = static_cast<std::int32_t>(corpus.labels.outputs());
  for (const reel::Reviews* const reviews : {&corpus.train, &corpus.test}) {
    if (!reviews->targets.empty() && reviews->targets.size() != reviews->labels.size()) std::abort();
    for (const std::int32_t column : reviews->targets.columns) {
      if (column < 0 || column >= outputs) std::abort();
    }
  }
})
