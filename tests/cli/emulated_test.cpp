// The program with the emulator for --device cuda, on the stand-in for the CUDA runtime: what a violation, a leak or an
// error left behind would end.
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "host/model/checkpoint.h"
#include "kernels/contract/cells.h"
#include "kernels/make_backend.h"
#include "tests/cli/program.h"

namespace reel {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class EmulatedProgram : public Program {
 protected:
  EmulatedProgram() : Program(emulated_program()) {}
  void SetUp() override {
    if (!std::filesystem::exists(program_)) GTEST_SKIP() << "needs the CUDA toolkit's headers and x86-64";
  }

  /// Sixty reviews of a few words, by which a label can be told.
  std::string data() {
    std::string text = "text,label\n";
    for (int i = 0; i < 60; ++i) {
      for (int word = 0; word < 1 + i * 7 % 11; ++word) text += "w" + std::to_string((i * 31 + word * 17) % 40) + " ";
      text += i % 2 == 0 ? "dull,0\n" : "warm,1\n";
    }
    return folder_.write("data.csv", text).string();
  }
  static constexpr const char* kFlags =
      " --device cuda --batch-size 8 --embedding-dim 4 --hidden-size 6 --maxlen 12 --epochs 3 --log-every 2 ";

  /// Trains into the folder `name`; the model's parameters.
  std::vector<float> train(const std::string& name, const std::string& more = "", const std::string& environment = "") {
    const Result result = reel("train --data " + data() + kFlags + " --out " + name + " " + more, "", environment);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return model(name);
  }
  std::vector<float> model(const std::string& name) {
    return load_model(folder_ / name / "model.safetensors").parameters;
  }
};

TEST_F(EmulatedProgram, TrainsTheSameWithAndWithoutGraphsWheneverWorkRuns) {
  for (const std::string precision : {"float32", "mixed"}) {
    const std::string flags = "--precision " + precision;
    const std::vector<float> expected = train(precision, flags);
    EXPECT_EQ(train(precision + "-no-graph", flags + " --no-graph"), expected);
    EXPECT_EQ(train(precision + "-timed", flags + " --timings"), expected);
    EXPECT_EQ(train(precision + "-profiled", flags + " --profile 2 --no-graph"), expected);
    for (const int seed : {1, 2, 3}) {
      const std::string environment = "REEL_RUNTIME_SEED=" + std::to_string(seed);
      EXPECT_EQ(train(precision + std::to_string(seed), flags, environment), expected);
      EXPECT_EQ(train(precision + std::to_string(seed) + "-no-graph", flags + " --no-graph", environment), expected);
    }
  }
}

TEST_F(EmulatedProgram, SaysWhereMixedPrecisionDoesNothing) {
  const std::string unused = "warning: --precision mixed: the states of --cell relu have no bound: they stay float32\n";
  const std::string mixed = " --device cuda --precision mixed";
  EXPECT_THAT(reel("train --data " + data() + kFlags + " --out relu --cell relu" + mixed).out, HasSubstr(unused));
  EXPECT_EQ(reel("predict relu film" + mixed).err, "reel: " + unused);
  EXPECT_THAT(reel("eval relu --data " + data() + mixed).err, StartsWith("reel: " + unused));
  EXPECT_EQ(reel("predict relu film" + mixed + " --mixed-products bf16").err,
            "reel: " + unused +
                "reel: warning: --mixed-products bf16: does nothing without --precision mixed on a CPU, found a GPU\n");
  EXPECT_EQ(reel("predict relu film --device cuda").err, "");
}

TEST_F(EmulatedProgram, ResumesEvaluatesAndPredicts) {
  const std::vector<float> whole = train("whole");
  train("part", "--max-steps 7");
  const auto expect_resumes = [&](const std::string& name) {
    const Result resumed = reel("train --resume " + name);
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(model(name), whole);
  };
  expect_resumes("part");
  EXPECT_EQ(train("saved", "--checkpoint-every 3"), whole);
  // The twelfth call that writes a checkpoint is the process's last: in the second one.
  const std::string dies = fault("kill", "state.safetensors", 12);
  EXPECT_EQ(reel("train --data " + data() + kFlags + " --out killed --checkpoint-every 3", "", dies).code, 137);
  expect_resumes("killed");
  const Result evaluation = reel("eval whole --device cuda --data " + data());
  EXPECT_EQ(evaluation.code, 0) << evaluation.err;
  EXPECT_THAT(evaluation.out, HasSubstr("accuracy"));
  const Result prediction = reel("predict whole --device cuda 'w1 w2 warm'");
  EXPECT_EQ(prediction.code, 0) << prediction.err;
  EXPECT_THAT(prediction.out, HasSubstr("\"label\""));
  const Result information = reel("info");
  EXPECT_EQ(information.code, 0) << information.err;
  EXPECT_THAT(information.out, HasSubstr("emulator, compute capability 9.0"));
}

/// A line for each cell and kernel, with the widths that run by it.
TEST_F(EmulatedProgram, InfoNamesTheKernelsOfEveryCell) {
  const auto lines_of = [&](const std::string& more) {
    const Result information = reel("info --device cuda" + more);
    EXPECT_EQ(information.code, 0) << information.err;
    std::map<std::string, std::vector<std::string>> lines;  // by cell
    std::istringstream in(information.out.substr(information.out.find("recurrence on ")));
    std::string line;
    for (std::getline(in, line); std::getline(in, line);) lines[line.substr(2, line.find(' ', 2) - 2)].push_back(line);
    EXPECT_EQ(lines.size(), kCells.size()) << information.out;
    return lines;
  };
  const auto own = lines_of("");
  for (const auto& [cell, lines] : own) {
    std::string widths;
    for (const std::string& line : lines) {
      EXPECT_THAT(line, HasSubstr("float32, ")) << "the kernels";
      const std::string text = line.substr(line.find("H ") + 2, 23);
      widths += text.substr(0, text.find_last_not_of(' ') + 1) + '|';
    }
    std::ranges::replace(widths, '|', ',');
    std::erase(widths, ' ');
    EXPECT_EQ(widths, "64,128,256,512,2048,") << cell << ": every width once";
  }
  EXPECT_THAT(own.at("tanh").front(), HasSubstr("W_hh resident"));
  EXPECT_THAT(own.at("tanh").back(), HasSubstr("H 2048                    float32, a product and a pointwise kernel"));
  for (const auto& [cell, lines] : lines_of(" --recurrence cudnn")) {
    const bool gated = cell == "gru" || cell == "lstm";
    const std::string small = gated ? "H 64, 128 " : "H 64, 128, 256 ", how = gated ? ", with the projection" : "";
    ASSERT_EQ(lines.size(), 2u) << cell;
    EXPECT_THAT(lines.front(), AllOf(HasSubstr(small), EndsWith("cuDNN, persist static, small H" + how)));
    EXPECT_THAT(lines.back(), EndsWith("cuDNN, standard" + how));
  }
}

TEST_F(EmulatedProgram, InfoListsATrainingStep) {
  const std::string step = "info --device cuda --step";
  const auto plan_of = [&](const std::string& flags) {
    const Result result = reel(step + " --json " + flags, "", "REEL_RUNTIME_DEVICE=h200");
    EXPECT_EQ(result.code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  };
  const auto plan = plan_of("");
  EXPECT_EQ(plan["batch"], 64);
  EXPECT_EQ(plan["multiprocessors"], 132);
  double sum = 0;
  for (const auto& node : plan["nodes"]) sum += node["us"].get<double>();
  EXPECT_NEAR(plan["sum_us"].get<double>(), sum, 1e-6);
  EXPECT_LE(plan["critical_us"].get<double>(), sum + 1e-6);
  EXPECT_GT(plan["nodes"].size(), 10u);
  EXPECT_EQ(plan["nodes"].back()["operation"], "optimizer");
  EXPECT_GT(plan_of("--batch-size 1024")["sum_us"].get<double>(), sum);
  EXPECT_GT(plan_of("--cell lstm --layers 2 --bidirectional")["nodes"].size(), plan["nodes"].size());

  const Result table = reel(step + " --hidden-size 6 --embedding-dim 4");
  EXPECT_EQ(table.code, 0) << table.err;
  for (const char* text : {"rnn_forward_kernel<64, tanh>", "select_rows_kernel", "sgemm 10000 x 6 x 4",
                           "critical path (*): ", "Estimates: nothing has run."}) {
    EXPECT_THAT(table.out, HasSubstr(text));
  }
  expect_one_line(reel("info --device cpu --step"), 1, "--step: needs --device cuda, found cpu");
  expect_one_line(reel(step + " --recurrence cudnn"), 1, "--step: knows Reel's own kernels");
  for (const std::string flag : {"--json", "--batch-size 2", "--embedding-dim 2", "--hidden-size 2", "--cell gru",
                                 "--nonlinearity relu", "--layers 2", "--bidirectional", "--pool max"}) {
    expect_one_line(reel("info " + flag), 2, " requires --step");
  }
}

/// Cells of several gates, whose input cuDNN projects: with all that a run does.
TEST_F(EmulatedProgram, TrainsGatedCellsOnCudnn) {
  const std::string cudnn = "--device cuda --recurrence cudnn";
  const auto output_of = [&](const std::string& arguments, const std::string& input = "") {
    const Result result = reel(arguments, input);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  };
  const auto loss_of = [&](const std::string& name) {
    return nlohmann::json::parse(contents(folder_ / name / "summary.json"))["test_loss"].get<double>();
  };
  for (const std::string cell : {"gru", "lstm"}) {
    SCOPED_TRACE(cell);
    const std::string flags = "--cell " + cell + " --layers 2 --bidirectional --pool concat --embedding-dropout 0.2 ";
    const std::vector<float> expected = train(cell, flags + "--recurrence cudnn");
    EXPECT_EQ(train(cell + "-no-graph", flags + "--recurrence cudnn --no-graph"), expected);
    train(cell + "-reel", flags);
    EXPECT_NEAR(loss_of(cell), loss_of(cell + "-reel"), 1e-4 * loss_of(cell + "-reel"));
    const auto scores = [&](const std::string& device) {
      const std::string text = output_of("eval " + cell + " --batch-size 4 --data " + data() + " " + device);
      return text.substr(0, text.find("F1"));
    };
    EXPECT_EQ(scores(cudnn), scores("--device cpu"));
    // One direction, which can be streamed: the last line is the whole text's.
    train(cell + "-stream", "--recurrence cudnn --layers 2 --cell " + cell);
    const std::string stream = output_of("predict --stream " + cell + "-stream " + cudnn, "w1 w2 warm");
    const std::string whole = output_of("predict " + cell + "-stream " + cudnn + " 'w1 w2 warm'");
    const std::string last = stream.substr(stream.rfind('\n', stream.size() - 2) + 1);
    EXPECT_NEAR(nlohmann::json::parse(last)["probability"].get<double>(),
                nlohmann::json::parse(whole)["probability"].get<double>(), 1e-5);
  }
  expect_one_line(reel("train --data " + data() + kFlags + "--cell gru --recurrence cudnn --bptt 3 --out bptt"), 1,
                  "--bptt: not with --recurrence cudnn of --cell gru");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "bptt"));
}

/// A window is read back while the next one runs: a checkpoint in between must not be ahead of metrics.jsonl.
TEST_F(EmulatedProgram, DyingBeforeALineOfMetricsLosesNoLine) {
  if (!std::filesystem::exists(failing_calls())) GTEST_SKIP() << "needs the library of failing calls beside";
  const auto steps = [&](const std::string& name) {
    std::istringstream lines(contents(folder_ / name / "metrics.jsonl"));
    std::vector<int> all;
    for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line)["step"]);
    return all;
  };
  train("whole");
  for (const int n : {2, 5}) {  // the lines of an epoch's beginning
    const std::string name = "died" + std::to_string(n);
    const Result died = reel("train --data " + data() + kFlags + " --out " + name + " --checkpoint-every 1", "",
                             fault("kill-late", "metrics.jsonl", n));
    EXPECT_EQ(died.code, 137) << died.err;
    const Result resumed = reel("train --resume " + name);
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    EXPECT_EQ(steps(name), steps("whole")) << "died before call " << n;
  }
}

TEST_F(EmulatedProgram, RunsOnEveryKindOfDevice) {
  const std::vector<float> expected = train("9.0");
  for (const std::string device : {"8.0", "8.6", "10.0", "12.0"}) {
    EXPECT_EQ(train(device, "", "REEL_RUNTIME_DEVICE=" + device), expected) << device;
  }
  const auto expect_refusal = [&](const std::string& device, const std::string& reason) {
    expect_one_line(reel("train --device cuda --data " + data(), "", "REEL_RUNTIME_DEVICE=" + device), 1, reason);
    const Result automatic =
        reel("train --batch-size 8 --hidden-size 6 --epochs 1 --data " + data(), "", "REEL_RUNTIME_DEVICE=" + device);
    EXPECT_EQ(automatic.code, 0) << automatic.err;
    EXPECT_THAT(automatic.out, HasSubstr("(CUDA device: none: ")) << "the CPU, and why";
  };
  expect_refusal("7.5", "expected compute capability 8.0 or newer");
  expect_refusal("none", "no CUDA-capable device is detected");
  expect_refusal("old-driver", "the driver supports CUDA 11.4, expected 13.0 or newer");
  expect_refusal("no-driver", "no NVIDIA driver");
}

TEST_F(EmulatedProgram, AnAllocationThatFailsIsOneLine) {
  for (const int n : {1, 2, 5, 10, 20, 40}) {
    std::filesystem::remove_all(folder_ / "run");
    const Result result =
        reel("train --data " + data() + kFlags + "--out run", "", "REEL_RUNTIME_FAIL=" + std::to_string(n));
    expect_one_line(result, 1, "CUDA: ");
  }
}

}  // namespace
}  // namespace reel
