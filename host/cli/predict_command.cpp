#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/files/lines.h"
#include "host/predict/prediction.h"
#include "host/predict/predictor.h"
#include "host/predict/stream.h"
#include "host/text/ids.h"
#include "host/text/tokenizer.h"
#include "host/train/progress.h"
#include "kernels/check.h"

namespace reel {
namespace {

struct PredictOptions {
  std::filesystem::path model;
  std::vector<std::string> texts;
  bool ids = false, stream = false;
  std::int64_t top = 0;
  DeviceOptions device;
};

void write(const std::string& lines) {
  if (std::fwrite(lines.data(), 1, lines.size(), stdout) < lines.size() || std::fflush(stdout) != 0) {
    fail("standard output: {}", std::strerror(errno));
  }
}

/// Reads inputs, and prints a JSON line for each, batch by batch.
class Printer {
 public:
  Printer(Predictor& predictor, const PredictOptions& options)
      : predictor_(predictor), ids_(options.ids), top_(options.top) {}

  void add(const std::string& input) {
    ++inputs_;
    bytes_ += input.size();
    if (ids_) {
      predictor_.add(parse_ids(input, predictor_.trained().saved.config.vocabulary, fmt::format("input {}", inputs_)));
    } else {
      predictor_.add(input);
    }
    if (predictor_.is_full() || bytes_ > kMaxLine) flush();
  }

  /// Lines that come before an error are not lost.
  void flush() {
    bytes_ = 0;
    std::string lines;
    try {
      const std::vector<float> logits = predictor_.run();
      const auto C = static_cast<std::size_t>(predictor_.trained().saved.config.outputs);
      for (std::size_t first = 0; first < logits.size(); first += C) {
        lines += to_json(prediction(predictor_.trained(), std::span(logits).subspan(first, C), top_)) + '\n';
      }
    } catch (const Error&) {
      write(lines);
      throw;
    }
    write(lines);
  }

 private:
  Predictor& predictor_;
  bool ids_;
  std::int64_t top_, inputs_ = 0;
  std::size_t bytes_ = 0;  // of the inputs since the last flush
};

/// Reads one text in pieces of any size, and prints a JSON line after each of its words, as soon as that has ended.
/// Words are those that a LineReader's lines have.
class StreamPrinter {
 public:
  StreamPrinter(const TrainedModel& trained, Backend<float>& backend, std::int64_t top)
      : trained_(trained), stream_(trained, backend), top_(top) {}

  void add(std::string_view bytes) {
    keep_lines([&] {
      while (!bytes.empty()) {
        const std::size_t end = std::min(bytes.find_first_of(" \t\n"), bytes.size());
        if (held_.size() + end > kMaxLine) fail("standard input: a word is longer than {} bytes", kMaxLine);
        held_ += bytes.substr(0, end);
        bytes.remove_prefix(end);
        if (bytes.empty()) return;
        end_word(bytes.front() == '\n');
        bytes.remove_prefix(1);
      }
    });
  }

  /// At the end of the text.
  void finish() {
    keep_lines([&] { end_word(true); });
  }

 private:
  /// What is held is whole, and `ends_line` says whether its line is too. Punctuation may divide it into several words.
  void end_word(bool ends_line) {
    std::string_view text = held_;
    if (ends_line && text.ends_with('\r')) text.remove_suffix(1);
    if (std::exchange(first_, false) && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    for_each_word(text, [&](std::string_view word) {
      const std::optional<std::vector<float>> logits = stream_.next(word);
      if (!logits) return;
      JsonMembers line = {{"word", std::string(word)}};
      for (auto& member : prediction(trained_, *logits, top_)) line.push_back(std::move(member));
      lines_ += to_json(line) + '\n';
    });
    held_.clear();
  }

  /// Lines that come before an error are not lost.
  template <class F>
  void keep_lines(const F& f) {
    try {
      f();
    } catch (const Error&) {
      write(lines_);
      throw;
    }
    write(std::exchange(lines_, ""));
  }

  const TrainedModel& trained_;
  Stream stream_;
  std::int64_t top_;
  std::string held_;  // since the last space, tab or end of a line
  std::string lines_;
  bool first_ = true;  // nothing has ended: a byte order mark may begin what is held
};

int predict_stream(const TrainedModel& trained, Backend<float>& backend, std::int64_t top) {
  StreamPrinter printer(trained, backend, top);
  while (true) {
    char block[4096];
    const ssize_t count = ::read(STDIN_FILENO, block, sizeof(block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("standard input: cannot be read: {}", std::strerror(errno));
    if (count == 0) break;
    printer.add({block, static_cast<std::size_t>(count)});
  }
  printer.finish();
  return kSuccess;
}

int predict(const PredictOptions& options) {
  TrainedModel trained = load_trained_model(options.model);
  const std::unique_ptr<Backend<float>> backend = options.device.make();
  warn(options.device.unused_precision(trained.saved.config.cell));
  warn(options.device.unused_products());
  if (options.top > 0 && trained.labels.task == Task::kRegression) {
    fail("--top: {} gives a number, not labels", trained.file.string());
  }
  if (options.stream) return predict_stream(trained, *backend, options.top);
  const std::size_t most = options.texts.empty() ? Predictor::kMostInputs : options.texts.size();
  Predictor predictor(std::move(trained), *backend, most);
  Printer printer(predictor, options);
  try {
    for (const std::string& text : options.texts) printer.add(text);
    if (options.texts.empty()) {
      LineReader input(STDIN_FILENO, "standard input");
      while (const std::optional<std::string> line = input.next()) {
        printer.add(*line);
        if (!input.is_waiting()) printer.flush();
      }
    }
  } catch (const Error&) {
    printer.flush();  // what came before the bad line is not lost
    throw;
  }
  printer.flush();
  return kSuccess;
}

}  // namespace

Command add_predict_command(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command =
      app.add_subcommand("predict",
                         "Classify texts given as arguments or, one a line, on standard input; prints a line of JSON "
                         "each: the name of the label, of several labels their names, of a regression the value");
  command->add_option("model", options->model, "A run folder or its model.safetensors")->check(some_path())->required();
  command->add_option("text", options->texts, "Texts; none: lines of standard input");
  add_choice<bool>(*command, "--input", options->ids, {{"text", false}, {"ids", true}},
                   R"(What an input is: text, or {"ids": [...]})");
  command->add_flag("--stream", options->stream,
                    "Standard input is one text: a line after each word, of the text so far; its state is kept. Up to "
                    "--maxlen steps, one for each word and one for the start id, the last line is that of the whole "
                    "text without --stream. For models of one direction that pool the last state of masked rows");
  command->add_option("--top", options->top, "Print this many of the likeliest labels, instead of every number")
      ->transform(within<std::int64_t>(1, 10'000));
  options->device.add_to(*command);
  return [options] {
    if (options->stream && (!options->texts.empty() || options->ids)) {
      throw CLI::ValidationError("--stream", "expected a text on standard input, not as arguments or ids");
    }
    options->model = take_mark(options->model.string());
    std::ranges::transform(options->texts, options->texts.begin(), take_mark);
    return predict(*options);
  };
}

}  // namespace reel
