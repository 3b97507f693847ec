// A corpus as a run sees it: vocabulary, and encoded splits.
#pragma once

#include <string>
#include <vector>

#include "host/predict/readout.h"
#include "host/text/dataset.h"
#include "host/text/vocabulary.h"
#include "host/train/config.h"

namespace reel {

struct TrainingData {
  std::string source, checksum;
  Vocabulary vocabulary;
  LabelSet labels;
  Dataset train, validation, test;      // validation may be empty
  std::vector<float> positive_weights;  // of each of several labels, or empty: 1
  std::string weights_checksum;         // of a file of class weights, or empty
  Readout readout;                      // of a regression, whose training targets are standardised
  double known_tests = 1;               // the known_share of the test reviews
};

/// Encodes a corpus. Throws Error when a split ends up empty.
TrainingData make_training_data(Corpus corpus, const TrainConfig& config);

/// Whether a row to train on holds a word that has an id of its own.
bool has_words(const TrainingData& data);

/// Why accuracy on a split says little, each a line for people: all its reviews have one label, or the test reviews
/// are the training reviews, or hold many words that those lack.
std::vector<std::string> check_reviews(const TrainingData& data);

/// The padding check: one line with the share of padded rows and the median number of padding steps, and what they mean
/// for the state. `warning` when padding is unmasked; the line then names the flag that mends it.
struct PaddingCheck {
  std::string line;
  bool warning = false;
};
PaddingCheck check_padding(const Dataset& dataset, const Preprocessing& preprocessing, Pool pool);

}  // namespace reel
