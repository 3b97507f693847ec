// Loss and accuracy of a model on a data set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/model/classifier.h"

namespace reel {

struct Interval {
  double low = 0, high = 0;
};

struct Evaluation {
  std::int64_t true_positive = 0, false_positive = 0, true_negative = 0, false_negative = 0;
  double loss = 0;  // mean binary cross-entropy
  double seconds = 0;
  std::int64_t tokens = 0;

  std::int64_t reviews() const { return true_positive + false_positive + true_negative + false_negative; }
  double accuracy() const;
  double f1() const;  // of the positive class; 0 when nothing is or was called positive
  /// 95 % Wilson score interval of the accuracy: Wilson, JASA 22 (1927), 209-212.
  Interval accuracy_interval() const;
};

/// Logits of every review, in the data set's order; throws Interrupted when an InterruptGuard's flag is set. Batches
/// are made of reviews of similar length; a review's logit does not depend on the batch it is in.
std::vector<float> predict_logits(Classifier<float>& model, const Dataset& dataset, Padding padding,
                                  std::int64_t batch_size);

/// From logits and labels; a positive logit means label 1.
Evaluation score(std::span<const float> logits, std::span<const std::int32_t> labels);

Evaluation evaluate(Classifier<float>& model, const Dataset& dataset, Padding padding, std::int64_t batch_size);

}  // namespace reel
