#include "host/predict/inference.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/make_backend.h"

namespace reel {
namespace {

TEST(Inference, OfManyBatchesIsThatOfEach) {
  constexpr std::int64_t kReviews = 12, kSteps = 9;
  const ModelConfig config{.vocabulary = 50, .embedding = 6, .hidden = 5};
  const auto backend = make_cpu_backend<float>(2);
  Model<float> model(*backend, config, kReviews, kSteps);
  initialise<float>(config, {.seed = 3}, model.parameters());
  Dataset reviews{.steps = kSteps};
  for (std::int32_t i = 0; i < kReviews; ++i) {
    for (std::int32_t t = 0; t < kSteps; ++t) reviews.ids.push_back((i * 17 + t * 5) % 50);
    reviews.lengths.push_back(static_cast<std::int32_t>(i % (kSteps + 1)));
    reviews.labels.push_back(i % 2);
  }
  const DeviceDataset data = to_device(*backend, reviews);
  std::vector<std::int32_t> rows(kReviews);
  std::iota(rows.begin(), rows.end(), 0);
  model.select(data, rows, {});
  model.forward();
  const std::vector<float> expected(model.logits().begin(), model.logits().end());
  Inference<float> inference(model);  // projects the vocabulary of 50 with the sixth review
  for (std::size_t i = 0; i < expected.size(); ++i) {
    model.select(data, std::span(rows).subspan(i, 1), {});
    inference.run();
    EXPECT_EQ(model.logits().front(), expected[i]) << "review " << i;
  }
}

}  // namespace
}  // namespace reel
