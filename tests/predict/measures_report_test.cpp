#include "host/predict/measures_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "host/files/lines.h"
#include "kernels/error.h"

namespace reel {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

/// Every row of class i is one of the next class with a share of i / classes; class i has `rows` - i of them.
Measures measures_of(std::int32_t classes, std::int32_t rows) {
  ClassMeter meter(classes);
  for (std::int32_t label = 0; label < classes; ++label) {
    for (std::int32_t row = 0; row < std::max(rows - label, 1); ++row) {
      std::vector<float> logits(static_cast<std::size_t>(classes));
      const bool wrong = row * classes < label * std::max(rows - label, 1);
      logits[static_cast<std::size_t>(wrong ? (label + 1) % classes : label)] = 2;
      meter.add(logits, std::vector<std::int32_t>{label});
    }
  }
  return meter.finish();
}

std::vector<std::string> numbered(std::size_t classes, const std::string& name = "class ") {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < classes; ++i) names.push_back(name + std::to_string(i));
  return names;
}

Measures two_classes() {
  ClassMeter meter(1);
  meter.add(std::vector<float>{2, 1, -1, -2}, std::vector<std::int32_t>{1, 0, 0, 0});
  return meter.finish();
}

TEST(MeasuresReport, TwoClassesAsText) {
  EXPECT_EQ(to_text(two_classes(), std::vector<std::string>{"negative", "positive"}, 80),
            R"(rows               4
accuracy           75.00 %  (95 % interval 30.06 to 95.44)
macro F1           0.7333
log loss           0.4701
ROC AUC            1.0000  (95 % interval 1.0000 to 1.0000)
average precision  1.0000
calibration error  0.1751

class     precision  recall      F1    actual  predicted     right
negative     1.0000  0.6667  0.8000         3          2         2
positive     0.5000  1.0000  0.6667         1          2         1

actual below, predicted across
          negative  positive
negative         2         1
positive         0         1
)");
}

TEST(MeasuresReport, TwoClassesAsJson) {
  const JsonMembers members = json_members(two_classes(), std::vector<std::string>{"no", "yes"});
  const std::string text = to_json(members);
  const JsonValue value = parse_json(text, "measures");
  std::vector<std::string> keys;
  for (const auto& [key, member] : members) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"rows", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "micro_f1",
                                            "log_loss", "roc_auc", "roc_auc_low", "roc_auc_high", "average_precision",
                                            "expected_calibration_error", "classes", "confusion"}));
  EXPECT_EQ(integer_at(value, "rows", ""), 4);
  EXPECT_EQ(number_at(value, "accuracy", ""), 0.75);
  EXPECT_NEAR(number_at(value, "accuracy_low", ""), 0.3006, 1e-4);
  EXPECT_NEAR(number_at(value, "accuracy_high", ""), 0.9544, 1e-4);
  EXPECT_EQ(number_at(value, "roc_auc", ""), 1);
  EXPECT_THAT(text, HasSubstr(R"({"actual":1,"f1":0.6666666666666666,"name":"yes","precision":0.5,"predicted":2,)"
                              R"("recall":1.0,"right":1})"));
  EXPECT_THAT(text,
              EndsWith(R"("confusion":[{"actual":"no","predicted":"no","rows":2},)"
                       R"({"actual":"no","predicted":"yes","rows":1},{"actual":"yes","predicted":"yes","rows":1}]})"));
}

TEST(MeasuresReport, WhatIsAbsentIsNull) {
  const std::string classes = to_json(json_members(ClassMeter(3).finish(), numbered(3)));
  for (const char* const name :
       {"roc_auc", "roc_auc_low", "roc_auc_high", "average_precision", "expected_calibration_error"}) {
    EXPECT_THAT(classes, HasSubstr(fmt::format("\"{}\":null", name)));
  }
  EXPECT_THAT(classes, EndsWith("\"confusion\":[]}"));
  EXPECT_THAT(to_json(json_members(MultiLabelMeter(2).finish(), numbered(2))), EndsWith("\"confusion\":null}"));
  EXPECT_EQ(to_json(json_members(RegressionMeter().finish())),
            R"({"rows":0,"mean_squared_error":0.0,"mean_absolute_error":0.0,"r2":null})");
}

TEST(MeasuresReport, MultiLabelHasNoMatrix) {
  MultiLabelMeter meter(2);
  meter.add(std::vector<float>{1, -1, 1, 1}, std::vector<float>{1, 0, 0, 1});
  EXPECT_EQ(to_text(meter.finish(), std::vector<std::string>{"news", "sport"}, 80),
            R"(rows               2
all labels right   50.00 %  (95 % interval 9.45 to 90.55)
macro F1           0.8333
micro F1           0.8000
log loss           0.5633

label  precision  recall      F1    actual  predicted     right
news      0.5000  1.0000  0.6667         1          2         1
sport     1.0000  1.0000  1.0000         1          1         1
)");
}

TEST(MeasuresReport, RegressionAsText) {
  RegressionMeter meter;
  meter.add(std::vector<float>{1, 2, 4}, std::vector<float>{1, 2, 3});
  EXPECT_EQ(to_text(meter.finish()), R"(rows                 3
mean squared error   0.333333
mean absolute error  0.333333
R2                   0.5000
)");
}

/// Whatever the classes, their names, the rows and the terminal.
TEST(MeasuresReport, FitsTheTerminal) {
  for (const std::int32_t classes : {2, 3, 9, 12, 13, 40, 41, 42, 200}) {
    for (const std::string name :
         {"c", "class ", "a name that no terminal has room for, much less twice ", "部分类别名称很长很长"}) {
      for (const std::size_t columns : {std::size_t{0}, kMinReportColumns, std::size_t{80}, std::size_t{200}}) {
        const std::string text =
            to_text(measures_of(classes, 40), numbered(static_cast<std::size_t>(classes), name), columns);
        for_each_line(text, [&](std::string_view line) {
          const std::string fitting = in_columns(std::string(line), std::max(columns, kMinReportColumns));
          EXPECT_THAT(std::string(line), Not(EndsWith("\n")));
          EXPECT_TRUE(fitting.starts_with(line)) << classes << ' ' << columns << '\n' << line;
        });
      }
    }
  }
}

TEST(MeasuresReport, MatrixOfLongNamesHasLetters) {
  std::vector<std::string> names = numbered(12, "a long name of class ");
  const std::string text = to_text(measures_of(12, 40), names, 80);
  EXPECT_THAT(text, HasSubstr("    a    b    c    d    e    f    g    h    i    j    k    l\n"));
  EXPECT_THAT(text, ContainsRegex("\nb a long name of.*…    0   35    4    0"));
}

TEST(MeasuresReport, MatrixThatDoesNotFitIsAList) {
  Measures measures = measures_of(12, 40);
  for (Confusion& c : measures.confusion) c.rows *= 10'000'000;
  const std::string text = to_text(measures, numbered(12), 80);
  EXPECT_THAT(text, Not(HasSubstr("predicted across")));
  EXPECT_THAT(text, HasSubstr("class 10 -> class 11  250000000\n"));
}

TEST(MeasuresReport, ManyClassesAreSortedByTheirRows) {
  Measures measures = measures_of(13, 40);
  std::swap(measures.classes[0], measures.classes[12]);
  const std::string text = to_text(measures, numbered(13), 80);
  EXPECT_LT(text.find("class 12 "), text.find("class 1 "));
  EXPECT_LT(text.find("class 11 "), text.find("class 0 "));
  EXPECT_THAT(text, Not(HasSubstr("left out")));
  EXPECT_THAT(
      text,
      HasSubstr("\nthe most frequent confusions, actual -> predicted\nclass 12 -> class 0         26\nclass 11 -> "));
  const std::size_t list = text.find("confusions");
  EXPECT_EQ(std::ranges::count(text.substr(list), '\n'), 11) << "ten of them";
}

/// Of 100 classes 0 to 19 have the most rows; the others' F1 falls with their number.
TEST(MeasuresReport, OfVeryManyClassesTheFrequentAndTheWorst) {
  const std::string text = to_text(measures_of(100, 200), numbered(100), 80);
  EXPECT_THAT(text, HasSubstr("the 20 classes with the most rows\nclass"));
  EXPECT_THAT(text, ContainsRegex("\nclass 19 .*\n\nof the others the 20 with the lowest F1\nclass .*\nclass 99 "));
  EXPECT_THAT(text, ContainsRegex("\nclass 80 .*\n\n60 classes left out\n\nthe most frequent confusions"));
  EXPECT_THAT(text, Not(ContainsRegex("\nclass 20  ")));
  EXPECT_THAT(to_text(measures_of(41, 80), numbered(41), 80), HasSubstr("\n1 class left out\n"));
  EXPECT_THAT(to_text(measures_of(40, 80), numbered(40), 80), Not(HasSubstr("left out")));
}

TEST(MeasuresReport, ClassesWithoutRowsAreNotTheWorst) {
  Measures measures = measures_of(60, 100);
  measures.classes[59] = {};
  EXPECT_THAT(to_text(measures, numbered(60), 80), Not(HasSubstr("\nclass 59 ")));
}

TEST(MeasuresReport, WithoutMistakesThereIsNoListOfThem) {
  ClassMeter meter(13);
  EXPECT_THAT(to_text(meter.finish(), numbered(13), 80), Not(HasSubstr("confusions")));
}

TEST(InColumns, FillsAndCuts) {
  EXPECT_EQ(in_columns("word", 6), "word  ");
  EXPECT_EQ(in_columns("word", 4), "word");
  EXPECT_EQ(in_columns("words", 4), "wor…");
  EXPECT_EQ(in_columns("words", 1), "…");
  EXPECT_EQ(in_columns("", 2), "  ");
}

TEST(InColumns, CountsCharactersAsATerminalDoes) {
  EXPECT_EQ(in_columns("größer", 4), "grö…");
  EXPECT_EQ(in_columns("größer", 7), "größer ");
  EXPECT_EQ(in_columns("体育新闻", 5), "体育…");
  EXPECT_EQ(in_columns("体育新闻", 6), "体育… ") << "half a character is none";
  EXPECT_EQ(in_columns("体育新闻", 9), "体育新闻 ");
  EXPECT_EQ(in_columns("e\u0301te\u0301", 4), "e\u0301te\u0301 ");
  EXPECT_EQ(in_columns("🎉🎉", 3), "🎉…");
}

TEST(InColumns, WhatIsNoTextIsReplaced) {
  EXPECT_EQ(in_columns("a\tb\x1b", 5), "a?b? ");
  EXPECT_EQ(in_columns("a\xffz", 4), "a\uFFFDz ");
  EXPECT_EQ(in_columns("\xe4\xbd", 2), "\uFFFD ");
}

TEST(MeasuresReport, WhatDoesNotFitIsRefused) {
  EXPECT_THROW(to_text(two_classes(), numbered(1), 80), ContractError);
  EXPECT_THROW(json_members(two_classes(), numbered(3)), ContractError);
}

}  // namespace
}  // namespace reel
