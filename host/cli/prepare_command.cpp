#include "host/cli/commands.h"
#include "host/cli/options.h"
#include "host/text/corpus.h"
#include "kernels/check.h"

namespace reel {

Command add_prepare_command(CLI::App& app) {
  struct Options {
    std::filesystem::path data, test_data, out;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("prepare", "Read a data set once and write it as a folder that loads at once");
  command->add_option("--data", options->data, "What reel train --data takes")
      ->type_name("PATH")
      ->check(some_path())
      ->required();
  command
      ->add_option("--test-data", options->test_data,
                   "Test reviews where --data is one file of CSV or JSON lines, or a folder of train.* alone")
      ->type_name("PATH")
      ->check(some_path());
  command->add_option("--out", options->out, "Where to write: tokens.safetensors, vocabulary.txt, prepared.json, lock")
      ->type_name("DIR")
      ->check(some_path())
      ->required();
  return [options] {
    std::error_code error;
    if (std::filesystem::equivalent(options->data, options->out, error) &&
        !std::filesystem::exists(options->out / "prepared.json", error)) {
      fail("--out {}: the data's own folder, which would be read as prepared from then on; expected another",
           options->out.string());
    }
    const Corpus corpus = read_corpus(options->data, options->test_data);
    write_prepared(corpus, options->out);
    fmt::print("{}: {} training and {} test reviews, {} words; {} invalid UTF-8 sequences replaced\n",
               options->out.string(), corpus.train.size(), corpus.test.size(), corpus.counts.size(),
               corpus.invalid_utf8);
    return kSuccess;
  };
}

}  // namespace reel
