// Class weights, against PyTorch and scikit-learn in float64; tests/golden/make_losses_golden.py wrote the values.
#include "host/train/class_weights.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/model/config.h"
#include "kernels/make_backend.h"
#include "tests/kernels/tolerances.h"
#include "tests/support/support.h"

namespace reel {
namespace {

using nlohmann::json;
using test::kFloat32;
using testing::ElementsAre;

const json& losses_golden() {
  static const json golden = json::parse(contents(test_files() / "golden" / "losses.json"));
  return golden;
}

LabelSet labels_of(const json& expected) {
  LabelSet labels{.task = expected.value("task", "classify") == "classify" ? Task::kClassify : Task::kMultiLabel,
                  .names = {}};
  for (int c = 0; c < expected["classes"].get<int>(); ++c) labels.names.push_back(fmt::format("class {}", c));
  return labels;
}

/// Rows with labels, targets and weights alone.
Dataset rows_of(const json& expected) {
  Dataset rows;
  for (const json& row : expected["targets"]) {
    for (std::int32_t c = 0; c < std::ssize(row); ++c) {
      const float target = row[static_cast<std::size_t>(c)];
      if (target != 0) rows.targets.add(c, target);
    }
    rows.targets.end_row();
  }
  rows.labels.resize(rows.targets.size());
  if (!expected["labels"].is_null()) expected["labels"].get_to(rows.labels);
  return rows;
}

struct RowLoss {
  double loss;
  std::vector<double> d_logits;  // [C]
};

/// What the head makes of row i.
RowLoss loss_of(const std::vector<double>& logits, const Dataset& rows, std::size_t i) {
  const auto backend = make_cpu_backend<double>(1);
  const std::size_t C = logits.size();
  const bool soft = !rows.targets.empty();
  const std::vector<float> targets = soft ? rows.targets.dense(i, 1, C) : std::vector<float>{};
  const std::vector<double> pooled(1), fc_weight(C);
  const std::vector<std::int32_t> lengths = {1};
  std::vector<double> d_fc_weight(C), d_fc_bias(C), d_state(1);
  std::vector<BatchStats> stats(1);
  const ModelConfig config{.outputs = static_cast<std::int64_t>(C)};
  backend->run(HeadBackward<double>{.shape = {.batch = 1, .steps = 1, .hidden = 1},
                                    .loss = config.loss(),
                                    .labels = std::span(rows.labels).subspan(i, soft ? 0 : 1),
                                    .targets = targets,
                                    .weights = std::span(rows.weights).subspan(i, 1),
                                    .logits = logits,
                                    .stats = stats,
                                    .lengths = lengths,
                                    .pooled = pooled,
                                    .fc_weight = fc_weight,
                                    .d_fc_weight = d_fc_weight,
                                    .d_fc_bias = d_fc_bias,
                                    .d_state = d_state});
  return {stats[0].loss_sum, d_fc_bias};  // a bias' gradient in a batch of one is its logit's
}

TEST(ApplyClassWeights, LossesArePyTorchs) {
  ASSERT_EQ(losses_golden()["weighted"].size(), 8u);
  for (const json& expected : losses_golden()["weighted"]) {
    SCOPED_TRACE(expected["name"].get<std::string>());
    Dataset rows = rows_of(expected);
    if (!expected["weights"].is_null()) expected["weights"].get_to(rows.weights);
    apply_class_weights(expected["class_weights"], labels_of(expected), rows);
    ASSERT_EQ(rows.weights.size(), expected["losses"].size());
    for (std::size_t i = 0; i < rows.weights.size(); ++i) {
      const RowLoss row = loss_of(expected["logits"][i], rows, i);
      const double loss = expected["losses"][i];
      EXPECT_NEAR(row.loss, loss, kFloat32.forward * loss) << i;
      const std::vector<double> d_logits = expected["d_logits"][i];
      ASSERT_EQ(row.d_logits.size(), d_logits.size());
      double largest = 0;
      for (const double x : d_logits) largest = std::max(largest, std::abs(x));
      for (std::size_t c = 0; c < d_logits.size(); ++c) {
        EXPECT_NEAR(row.d_logits[c], d_logits[c], kFloat32.forward * largest) << i << ", " << c;
      }
    }
  }
}

TEST(ApplyClassWeights, LabelsStayAndSharesAddUpToOne) {
  const LabelSet three{.names = {"a", "b", "c"}};
  Dataset hard{.labels = {2, 0}};
  apply_class_weights({3, 2, 0.5f}, three, hard);
  EXPECT_THAT(hard.labels, ElementsAre(2, 0));
  EXPECT_TRUE(hard.targets.empty());
  EXPECT_THAT(hard.weights, ElementsAre(0.5f, 3));
  Dataset soft{.labels = {0, 1}, .targets = {.begin = {0, 2, 3}, .columns = {0, 2, 1}, .values = {0.5f, 0.5f, 1}}};
  apply_class_weights({3, 0, 1}, three, soft);
  EXPECT_THAT(soft.weights, ElementsAre(2, 0));
  EXPECT_EQ(soft.targets, (Targets{.begin = {0, 2, 3}, .columns = {0, 2, 1}, .values = {0.75f, 0.25f, 1}}));
}

TEST(BalancedWeights, AreScikitLearns) {
  ASSERT_EQ(losses_golden()["balanced"].size(), 5u);
  for (const json& expected : losses_golden()["balanced"]) {
    SCOPED_TRACE(expected["task"].dump() + expected["classes"].dump());
    const std::vector<float> weights = balanced_weights(labels_of(expected), rows_of(expected));
    const std::vector<double> right = expected["weights"];
    ASSERT_EQ(weights.size(), right.size());
    for (std::size_t c = 0; c < right.size(); ++c) EXPECT_FLOAT_EQ(weights[c], static_cast<float>(right[c])) << c;
  }
}

TEST(BalancedWeights, OfAClassThatNoRowHasIsOne) {
  EXPECT_THAT(balanced_weights({.names = {"a", "b", "c"}}, {.labels = {2, 2, 0}}), ElementsAre(1, 1, 0.5f));
  const Targets none{.begin = {0, 1, 1}, .columns = {1}, .values = {1}};
  EXPECT_THAT(balanced_weights({.task = Task::kMultiLabel, .names = {"a", "b"}}, {.labels = {0, 0}, .targets = none}),
              ElementsAre(1, 1));
}

class ParseClassWeights : public testing::Test {
 protected:
  std::vector<float> parse(std::string_view text) { return parse_class_weights(text, "weights.txt", labels_); }
  void expect(std::string_view text, const std::string& message) {
    SCOPED_TRACE(text);
    try {
      parse(text);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), message);
    }
  }

  const LabelSet labels_{.names = {"neg", "not so good", "7"}};
};

TEST_F(ParseClassWeights, InAnyOrderAndWithAnyBlanks) {
  EXPECT_THAT(parse("neg 1\nnot so good 2.5\n7 0\n"), ElementsAre(1, 2.5f, 0));
  EXPECT_THAT(parse("\n7\t1e1\r\n \t\r\n  not so good \t .5 \n\nneg 3"), ElementsAre(3, 0.5f, 10));
}

TEST_F(ParseClassWeights, ALineIsANameAndANumberFromZero) {
  const std::string rest = ": expected the name of a label, a blank and its weight, a number from 0";
  for (const char* const line : {"neg", "neg -1", "neg -0.5", "neg +1", "neg x", "neg 1x", "neg 1,5", "neg 0x1",
                                 "neg inf", "neg -inf", "neg nan", "neg 1e99", "7", " 7 "}) {
    expect(line, "weights.txt:1" + rest);
    expect(fmt::format("7 1\n\n{}\r\nnot so good 1\n", line), "weights.txt:3" + rest);
  }
}

TEST_F(ParseClassWeights, NamesAreThoseOfTheLabels) {
  expect("neg 1\npos 1\n", "weights.txt:2: 'pos' is none of the 3 labels");
  expect("Neg 1", "weights.txt:1: 'Neg' is none of the 3 labels");
  expect("not  so good 1", "weights.txt:1: 'not  so good' is none of the 3 labels");
  expect("neg 1 2", "weights.txt:1: 'neg 1' is none of the 3 labels");
  expect("7 7 7", "weights.txt:1: '7 7' is none of the 3 labels");
  expect("1 2", "weights.txt:1: '1' is none of the 3 labels");
}

/// As the data's labels are found: a file may spell them otherwise.
TEST(ClassWeights, OfTheSameLabelSpelledOtherwise) {
  EXPECT_THAT(parse_class_weights("positive 2\n0 1\n", "w", {.names = {"Neg", "Pos"}}), ElementsAre(1, 2));
  EXPECT_THAT(parse_class_weights("2.0 3\n1 1\n", "w", {.names = {"1", "2"}}), ElementsAre(1, 3));
}

TEST_F(ParseClassWeights, EachOnce) {
  expect("neg 1\n7 2\n\nneg 1\n", "weights.txt:4: 'neg' twice");
  expect("", "weights.txt: 0 weights of 3 labels: none of 'neg'");
  expect(" \r\n\n", "weights.txt: 0 weights of 3 labels: none of 'neg'");
  expect("7 1\nneg 1\n", "weights.txt: 2 weights of 3 labels: none of 'not so good'");
  expect("neg 0\nnot so good 0\n", "weights.txt: 2 weights of 3 labels: none of '7'");
}

}  // namespace
}  // namespace reel
