#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/cli/read_options.h"
#include "host/text/corpus.h"
#include "host/train/progress.h"
#include "kernels/check.h"

namespace reel {
namespace {

namespace fs = std::filesystem;

/// A data set's folder is read as prepared once it holds what is written here, whatever else is in it.
void expect_elsewhere(const fs::path& data, const fs::path& out) {
  std::error_code error;
  const fs::path folder = fs::is_directory(data, error) ? data : data.parent_path().empty() ? "." : data.parent_path();
  if (!fs::equivalent(folder, out, error)) return;
  fail("--out {}: the folder of {}, which would be read as prepared from then on; expected another", out.string(),
       data.string());
}

}  // namespace

Command add_prepare_command(CLI::App& app) {
  struct Options {
    fs::path data, test_data, out;
    ReadOptions read;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("prepare", "Read a data set once and write it as a folder that loads at once");
  add_path(*command, "--data", options->data, "PATH", "What reel train --data takes")->required();
  add_path(*command, "--test-data", options->test_data, "PATH",
           "Test reviews where --data is one file of rows, or a folder of train.* alone");
  add_path(*command, "--out", options->out, "DIR",
           "Where to write: tokens.safetensors, vocabulary.txt, prepared.json, lock")
      ->required();
  add_read_options(*command, options->read);
  return [options] {
    expect_elsewhere(options->data, options->out);
    if (!options->test_data.empty()) expect_elsewhere(options->test_data, options->out);
    const Corpus corpus = read_corpus(options->data, options->test_data, options->read);
    write_prepared(corpus, options->out);
    fmt::print("{}: {} training and {} test reviews, {} words; {} invalid UTF-8 sequences replaced\n",
               options->out.string(), corpus.train.size(), corpus.test.size(), corpus.counts.size(),
               corpus.invalid_utf8);
    fmt::print("labels: {}\n", describe_labels(corpus));
    for (const std::string& warning : corpus.warnings) warn(warning);
    return kSuccess;
  };
}

}  // namespace reel
