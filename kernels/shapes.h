// Checks of operations' arguments against their contracts: check_arguments(args) for each of them, made by every
// backend.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.h"
#include "kernels/check.h"

namespace reel {

template <class T>
void check_size(std::span<T> tensor, std::int64_t expected, const char* name) {
  REEL_CHECK(static_cast<std::int64_t>(tensor.size()) == expected, "{} has {} elements, not {}", name, tensor.size(),
             expected);
}

template <class T>
void check_capacity(std::span<T> tensor, std::int64_t expected, const char* name) {
  REEL_CHECK(static_cast<std::int64_t>(tensor.size()) >= expected, "{} has room for {} elements, not {}", name,
             tensor.size(), expected);
}

inline void check_index(const TokenIndex& index, const Shape& shape) {
  check_size(index.count, 1, "index.count");
  check_size(index.slot, shape.vocabulary, "index.slot");
  check_capacity(index.tokens, max_distinct(shape), "index.tokens");
  check_capacity(index.row, shape.batch * shape.steps, "index.row");
  check_capacity(index.segment, max_distinct(shape) + 1, "index.segment");
  check_capacity(index.position, shape.batch * shape.steps, "index.position");
}

inline void check_arguments(const SelectRows& args) {
  const Shape& s = args.shape;
  check_size(args.rows, s.batch, "rows");
  check_size(args.data_ids, static_cast<std::int64_t>(args.data_labels.size()) * s.steps, "data_ids");
  check_size(args.data_lengths, static_cast<std::int64_t>(args.data_labels.size()), "data_lengths");
  check_size(args.ids, s.batch * s.steps, "ids");
  check_size(args.lengths, s.batch, "lengths");
  check_size(args.labels, s.batch, "labels");
}

inline void check_arguments(const IndexTokens& args) {
  check_size(args.ids, args.shape.batch * args.shape.steps, "ids");
  check_size(args.lengths, args.shape.batch, "lengths");
  check_index(args.index, args.shape);
}

template <class Real>
void check_arguments(const ProjectTokens<Real>& args) {
  const Shape& s = args.shape;
  check_index(args.index, s);
  check_size(args.embedding, s.vocabulary * s.embedding, "embedding");
  check_size(args.w_ih, s.hidden * s.embedding, "w_ih");
  check_size(args.bias, s.hidden, "bias");
  check_capacity(args.projected, max_distinct(s) * s.hidden, "projected");
}

template <class Real>
void check_arguments(const RnnForward<Real>& args) {
  const Shape& s = args.shape;
  check_capacity(args.row, s.batch * s.steps, "row");
  check_size(args.lengths, s.batch, "lengths");
  check_size(args.w_hh, s.hidden * s.hidden, "w_hh");
  check_capacity(args.h, (s.steps + 1) * s.batch * s.hidden, "h");
}

template <class Real>
void check_arguments(const HeadForward<Real>& args) {
  const Shape& s = args.shape;
  check_size(args.lengths, s.batch, "lengths");
  check_capacity(args.h, (s.steps + 1) * s.batch * s.hidden, "h");
  check_size(args.fc_weight, s.hidden, "fc_weight");
  check_size(args.fc_bias, 1, "fc_bias");
  check_size(args.pooled, s.batch * s.hidden, "pooled");
  check_size(args.logits, s.batch, "logits");
}

template <class Real>
void check_arguments(const HeadBackward<Real>& args) {
  const Shape& s = args.shape;
  check_size(args.labels, s.batch, "labels");
  check_size(args.logits, s.batch, "logits");
  check_size(args.stats, 1, "stats");
  if (args.d_pooled.empty()) return;
  check_size(args.pooled, s.batch * s.hidden, "pooled");
  check_size(args.fc_weight, s.hidden, "fc_weight");
  check_size(args.d_fc_weight, s.hidden, "d_fc_weight");
  check_size(args.d_fc_bias, 1, "d_fc_bias");
  check_size(args.d_pooled, s.batch * s.hidden, "d_pooled");
}

template <class Real>
void check_arguments(const RnnBackward<Real>& args) {
  const Shape& s = args.shape;
  check_size(args.lengths, s.batch, "lengths");
  check_capacity(args.h, (s.steps + 1) * s.batch * s.hidden, "h");
  check_size(args.w_hh, s.hidden * s.hidden, "w_hh");
  check_size(args.d_pooled, s.batch * s.hidden, "d_pooled");
  check_capacity(args.dz, s.steps * s.batch * s.hidden, "dz");
  check_size(args.d_w_hh, s.hidden * s.hidden, "d_w_hh");
  if (!args.d_h0.empty()) check_size(args.d_h0, s.batch * s.hidden, "d_h0");
}

template <class Real>
void check_arguments(const EmbeddingGradient<Real>& args) {
  const Shape& s = args.shape;
  check_index(args.index, s);
  check_size(args.embedding, s.vocabulary * s.embedding, "embedding");
  check_size(args.w_ih, s.hidden * s.embedding, "w_ih");
  check_capacity(args.dz, s.steps * s.batch * s.hidden, "dz");
  check_capacity(args.d_projected, max_distinct(s) * s.hidden, "d_projected");
  check_capacity(args.d_embedding, max_distinct(s) * s.embedding, "d_embedding");
  check_size(args.d_w_ih, s.hidden * s.embedding, "d_w_ih");
  check_size(args.d_bias, s.hidden, "d_bias");
}

template <class Real>
void check_arguments(const ClipGradient<Real>& args) {
  check_size(args.gradient.index.count, 1, "index.count");
  check_size(args.scale, 1, "scale");
  check_size(args.stats, 1, "stats");
}

template <class Real>
void check_arguments(const OptimizerStep<Real>& args) {
  const Shape& s = args.gradient.shape;
  const auto parameters = static_cast<std::int64_t>(args.parameters.size());
  const OptimizerKind kind = args.settings.kind;
  const bool two = kind == OptimizerKind::kAdam || kind == OptimizerKind::kAdamW ||
                   (kind == OptimizerKind::kRmsprop && args.settings.momentum != 0);
  check_size(args.gradient.dense, parameters - s.vocabulary * s.embedding, "gradient.dense");
  check_size(args.gradient.index.slot, s.vocabulary, "index.slot");
  check_size(args.scale, 1, "scale");
  check_size(args.state1, parameters, "state1");
  check_size(args.state2, two ? parameters : 0, "state2");
}

}  // namespace reel
