// What the labels of rows are, and each row's as numbers.
//
// Without a task: lists of labels are several labels; numbers, of which one is not whole, are a regression; all else is
// classes. Where nearly all labels are numbers, another is taken for a mistake. Classes are sorted, numerically where
// all are numbers (1 and 1.0 are one class, called what comes first; 1 and 01 are two), else by bytes. But the two
// classes 0, neg, negative or false and 1, pos, positive or true, in any case and mixed, are 0 and 1 in this order,
// called what comes first, and one that is not there the opposite of the other.
#pragma once

#include <span>

#include "host/text/label_index.h"
#include "host/text/rows.h"

namespace reel {

class LabelReader {
 public:
  /// Of all rows that there are, those of the tests too; of `options.labels`, where it is there, and no others. Throws
  /// Error where the rows' labels are not of one task.
  LabelReader(std::span<const LabelledRows* const> files, const ReadOptions& options);

  const LabelSet& labels() const { return labels_; }

  struct Row {
    std::int32_t label = 0;
    Targets targets;  // of one row, or empty: the label says all
  };
  /// Throws Error where a label is none of the labels, or no number of a regression.
  Row read(const LabelledRows& file, const LabelledRow& row) const;

 private:
  Row read_soft(const LabelledRow& row, const std::string& where) const;
  std::int32_t class_of(const std::string& name, const std::string& where) const;

  bool soft_;
  LabelSet labels_;
  LabelIndex index_;
};

}  // namespace reel
