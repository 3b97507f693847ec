// reel prepare: which flags say what to read, and what is printed of the labels.
#include "tests/cli/program.h"

namespace reel {
namespace {

using Prepare = Program;
using testing::EndsWith;
using testing::HasSubstr;

TEST_F(Prepare, PrintsTheLabels) {
  std::string rows = "text,label\n";
  for (int i = 0; i < 40; ++i) rows += fmt::format("w,{}\n", i < 20 ? "news" : i < 39 ? "sport" : "rare");
  folder_.write("d/train.csv", rows);
  folder_.write("d/test.csv", "text,label\nw,news\nw,other\n");
  const Result named = reel("prepare --data d --out p");
  EXPECT_THAT(named.out, EndsWith("\nlabels: classify, 4 classes: news 20, other 0, rare 1, sport 19; in fewer than 10 "
                                  "reviews to learn from: rare 1, other 0\n"));
  EXPECT_THAT(named.err, HasSubstr("d/test.csv: label 'other' (1 row) is in no training row\n"));
  rows.clear();
  for (int i = 0; i < 140; ++i) rows += fmt::format("__label__{} w\n", i % 14);
  folder_.write("d.txt", rows);
  EXPECT_THAT(reel("prepare --data d.txt --test-data d.txt --out p").out,
              HasSubstr("labels: classify, 14 classes: 0 10, 1 10, 2 10, 3 10, 4 10, 5 10, 6 10, 7 10, 8 10, 9 10, 10 "
                        "10, 11 10 and 2 more\n"));
  EXPECT_THAT(reel("prepare --data d.txt --test-data d.txt --out p --task regression").out,
              HasSubstr("labels: regression, from 0 to 13\n"));
  EXPECT_THAT(reel("prepare --data d.txt --test-data d.txt --out p --task multi-label").out,
              HasSubstr("labels: multi-label, 14 labels: 0 10"));
}

TEST_F(Prepare, ReadsWhatItsFlagsSay) {
  folder_.write("a.csv", "title,body,stars,w\ngood,film,a:1;b:3,1\nbad,film,c:1,2\n");
  const std::string data = "prepare --data a.csv --test-data a.csv --out p ";
  const Result result = reel(
      data + "--text-column title --text-column body --label-column stars --weight-column w --soft-labels --task auto");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("2 training and 2 test reviews, 3 words"));
  EXPECT_THAT(result.out, HasSubstr("labels: classify, 3 classes: a 0, b 1, c 1; in fewer than 10"));
  EXPECT_THAT(reel("prepare --data p --out again").out, HasSubstr("labels: classify, 3 classes: a 0, b 1, c 1"));
  expect_failure(data + "--label-column stars", 1, "a.csv: no column 'review' or 'text' in the header (title, body, ");
  expect_failure(data + "--task many", 2, "--task: 'many', expected auto|classify|multi-label|regression");
  expect_failure(data + "--text-column ''", 2, "--text-column: '', expected a column's name");
  expect_failure(data + "--text-column title body", 2, "body");
  expect_failure("prepare --data p --out again --weight-column w", 1, "p: has labels of its own and no columns");
}

TEST_F(Prepare, DamageIsOneLine) {
  std::string rows = "text,label\n";
  for (int i = 0; i < 1000; ++i) rows += fmt::format("w{},{}\n", i * i, i % 3);
  folder_.write("a.csv", rows);
  for (const char* const packer : {"gzip", "bzip2", "xz"}) {
    ASSERT_EQ(std::system(
                  fmt::format("cd {} && {} -c a.csv >a && head -c 1500 a >b", folder_.path().string(), packer).c_str()),
              0);
    EXPECT_EQ(reel("prepare --data a --out p").code, 0) << packer;
    expect_failure("prepare --data b --out p", 1, "b: damaged");
  }
}

}  // namespace
}  // namespace reel
