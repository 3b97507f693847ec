#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <future>
#include <thread>

#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/cli/trained_model.h"
#include "host/files/json.h"
#include "host/files/limits.h"
#include "host/files/line_reader.h"
#include "host/model/inference.h"
#include "host/text/ids.h"
#include "kernels/check.h"

namespace reel {
namespace {

constexpr std::size_t kMostTexts = 256;     // of a batch: the more, the fewer words are projected twice
constexpr std::size_t kTextsForACore = 16;  // that are worth a thread

struct PredictOptions {
  std::filesystem::path model;
  std::vector<std::string> texts;
  bool ids = false;
  DeviceOptions device;
};

/// Collects inputs and prints a JSON line for each, batch by batch.
class Predictor {
 public:
  explicit Predictor(const PredictOptions& options)
      : ids_(options.ids),
        trained_(load_trained_model(options.model)),
        backend_(options.device.make()),
        room_(static_cast<std::size_t>(rows_at_once(
            trained_,
            static_cast<std::int64_t>(options.texts.empty() ? kMostTexts : std::min(options.texts.size(), kMostTexts)),
            trained_.preprocessing.maxlen))),
        model_(to_device(*backend_, trained_, static_cast<std::int64_t>(room_), trained_.preprocessing.maxlen)) {}

  void add(const std::string& input) {
    ++inputs_;
    bytes_ += input.size();
    if (ids_) {
      batch_.push_back(parse_ids(input, trained_.saved.config.vocabulary, fmt::format("input {}", inputs_)));
    } else {
      texts_.push_back(input);
    }
    if (batch_.size() + texts_.size() == room_ || bytes_ > kMaxLine) flush();
  }

  void flush() {
    bytes_ = 0;
    if (!texts_.empty()) encode_texts();
    if (batch_.empty()) return;
    const Preprocessing& how = trained_.preprocessing;
    const std::vector<std::int32_t> ids = pad_sequences(batch_, how.maxlen, row_padding(), how.truncating);
    std::vector<std::int32_t> lengths;
    for (const auto& review : batch_) {
      const auto length = std::min(static_cast<std::int64_t>(review.size()), how.maxlen);
      lengths.push_back(static_cast<std::int32_t>(how.mask ? length : how.maxlen));
    }
    model_.load(ids, lengths, {});
    inference_.run();
    std::vector<float> logits(batch_.size());
    backend_->download(model_.logits(), std::span(logits));
    batch_.clear();  // before anything may fail: what has been printed is not printed again
    for (const float logit : logits) {
      const JsonMembers line = {{"logit", double{logit}},
                                {"probability", 1 / (1 + std::exp(-static_cast<double>(logit)))},
                                {"label", logit > 0 ? 1 : 0}};
      if (!std::isfinite(logit)) fail("{}: the model gives {}, which is no number", trained_.file.string(), logit);
      fmt::print("{}\n", to_json(line));
    }
    if (std::fflush(stdout) != 0) fail("standard output: {}", std::strerror(errno));
  }

 private:
  /// The texts as ids, each core its share: reading words takes a third as long as classifying them.
  void encode_texts() {
    batch_.resize(texts_.size());
    const DeviceInfo device = backend_->info();
    const std::size_t threads = device.kind == DeviceKind::kCpu ? static_cast<std::size_t>(device.threads)
                                                                : std::max(1u, std::thread::hardware_concurrency());
    const std::size_t cores = std::clamp<std::size_t>(texts_.size() / kTextsForACore, 1, threads);
    const auto encode_share = [&](std::size_t share) {
      for (std::size_t i = share; i < texts_.size(); i += cores) batch_[i] = trained_.vocabulary.encode(texts_[i]);
    };
    std::vector<std::future<void>> others;
    for (std::size_t share = 1; share < cores; ++share) {
      others.push_back(std::async(std::launch::async, encode_share, share));
    }
    encode_share(0);
    for (std::future<void>& other : others) other.get();
    texts_.clear();
  }

  /// The model takes rows left-aligned; unmasked padding is part of the row.
  Padding row_padding() const { return trained_.preprocessing.mask ? Padding::kPost : trained_.preprocessing.padding; }

  bool ids_;
  TrainedModel trained_;
  std::unique_ptr<Backend<float>> backend_;
  std::size_t room_;  // rows of a batch
  Model<float> model_;
  Inference<float> inference_{model_};
  std::vector<std::string> texts_;                // of the batch, not yet ids
  std::vector<std::vector<std::int32_t>> batch_;  // their ids
  std::int64_t inputs_ = 0;
  std::size_t bytes_ = 0;  // of the inputs since the last flush
};

int predict(const PredictOptions& options) {
  Predictor predictor(options);
  try {
    for (const std::string& text : options.texts) predictor.add(text);
    if (options.texts.empty()) {
      LineReader input(STDIN_FILENO, "standard input");
      while (const std::optional<std::string> line = input.next()) {
        predictor.add(*line);
        if (!input.is_waiting()) predictor.flush();
      }
    }
  } catch (const Error&) {
    predictor.flush();  // what came before the bad line is not lost
    throw;
  }
  predictor.flush();
  return kSuccess;
}

}  // namespace

Command add_predict_command(CLI::App& app) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command =
      app.add_subcommand("predict", "Classify texts given as arguments or, one a line, on standard input");
  command->add_option("model", options->model, "A run folder or its model.safetensors")->check(some_path())->required();
  command->add_option("text", options->texts, "Texts; none: lines of standard input");
  add_choice<bool>(*command, "--input", options->ids, {{"text", false}, {"ids", true}},
                   R"(What an input is: text, or {"ids": [...]})");
  options->device.add_to(*command);
  return [options] {
    options->model = take_mark(options->model.string());
    std::ranges::transform(options->texts, options->texts.begin(), take_mark);
    return predict(*options);
  };
}

}  // namespace reel
