// Lazy rows of the embedding table against rows that take part in every step: the same bits on the same device,
// whatever numbers a row, its state and its gradient are.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/kernels/devices.h"
#include "tests/support/support.h"

namespace reel::test {
namespace {

constexpr std::int64_t kMost = 12;  // rows of a batch
constexpr std::int64_t kDense = 3;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::int64_t below(std::int64_t end) { return std::uniform_int_distribution<std::int64_t>(0, end - 1)(engine_); }
  bool once_in(std::int64_t times) { return below(times) == 0; }
  double choose(std::initializer_list<double> values) { return values.begin()[below(std::ssize(values))]; }
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine_); }
  /// Of any size between, and of either sign.
  template <class Real>
  Real ordinary(double smallest, double largest) {
    return static_cast<Real>((once_in(2) ? 1 : -1) * std::exp(uniform(std::log(smallest), std::log(largest))));
  }
  /// The same, and now and then a number that is special.
  template <class Real>
  Real number(double smallest, double largest) {
    using Limits = std::numeric_limits<Real>;
    if (once_in(150)) {
      return static_cast<Real>(choose({0.0, -0.0, Limits::infinity(), -Limits::infinity(), Limits::max(),
                                       static_cast<double>(Limits::quiet_NaN()), Limits::min(),
                                       -static_cast<double>(Limits::min()), static_cast<double>(Limits::min()) / 8}));
    }
    return ordinary<Real>(smallest, largest);
  }

 private:
  std::mt19937_64 engine_;
};

/// The same but for how a NaN is written.
template <class Real>
bool same(Real a, Real b) {
  using Bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b) || (std::isnan(a) && std::isnan(b));
}

template <class Real>
struct Tensors {
  Buffer<Real> parameters, state1, state2;
};

/// A table, and the same table with lazy rows.
template <class Real>
class TwoTables {
 public:
  TwoTables(Backend<Real>& backend, const OptimizerSettings& settings, std::int64_t vocabulary, std::int64_t embedding,
            bool special, Random& random)
      : backend_(backend),
        settings_(settings),
        V_(vocabulary),
        E_(embedding),
        special_(special),
        random_(random),
        count_(backend.template allocate<std::int32_t>(1)),
        tokens_(backend.template allocate<std::int32_t>(kMost)),
        slot_(backend.template allocate<std::int32_t>(V_)),
        rows_(backend.template allocate<Real>(kMost * E_)),
        dense_(backend.template allocate<Real>(kDense)),
        scale_(backend.template allocate<Real>(1)) {
    const auto size = static_cast<std::size_t>(V_ * E_ + kDense);
    std::vector<Real> w(size), s1(size), s2(settings.has_state2() ? size : 0);
    for (Real& x : w) x = special ? random.number<Real>(1e-37, 10) : random.ordinary<Real>(1e-3, 0.1);
    // Of a table that has seen many steps, if a special one; else of a new one, most of whose rows never had any.
    for (Real& x : s1) x = special ? std::abs(random.number<Real>(1e-38, 1)) : Real{0};
    for (Real& x : s2) x = special ? std::abs(random.number<Real>(1e-38, 1)) : Real{0};
    if (special && settings.has_state2() && settings.kind != OptimizerKind::kRmsprop) {
      for (Real& x : s1) x = random.once_in(2) ? -x : x;
      for (Real& x : s2) x = random.once_in(200) ? -x : x;
    }
    for (Tensors<Real>* table : {&eager_, &lazy_tensors_}) {
      table->parameters = upload(w);
      table->state1 = upload(s1);
      table->state2 = upload(s2);
    }
    step_ = random.once_in(2) ? 0 : 1000;  // Adam's bias is corrected little by then
    const std::vector<std::int32_t> taken(static_cast<std::size_t>(V_), static_cast<std::int32_t>(step_));
    taken_ = upload(taken);
    lazy_.taken = taken_.span();
  }

  void step(double learning_rate) {
    new_batch();
    catch_up(index());
    expect_same_rows();
    ++step_;
    lazy_.learning_rates[static_cast<std::size_t>(step_ % LazyRows::kMaxLag)] = learning_rate;
    OptimizerStep<Real> op{
        .settings = settings_,
        .step = step_,
        .learning_rate = learning_rate,
        .gradient = {.index = index(), .embedding = E_, .rows = rows_.span(), .dense = dense_.span()},
        .scale = scale_.span(),
        .parameters = eager_.parameters.span(),
        .state1 = eager_.state1.span(),
        .state2 = eager_.state2.span()};
    backend_.run(op);
    op.parameters = lazy_tensors_.parameters.span();
    op.state1 = lazy_tensors_.state1.span();
    op.state2 = lazy_tensors_.state2.span();
    op.lazy = lazy_;
    backend_.run(op);
  }
  void catch_up(const TokenIndex& index = {}) {
    backend_.run(CatchUp<Real>{.settings = settings_,
                               .step = step_,
                               .embedding = E_,
                               .index = index,
                               .parameters = lazy_tensors_.parameters.span(),
                               .state1 = lazy_tensors_.state1.span(),
                               .state2 = lazy_tensors_.state2.span(),
                               .lazy = lazy_});
  }
  /// Those of the batch, or all.
  void expect_same_rows() { expect_same(batch_); }
  void expect_same_table() {
    std::vector<std::int32_t> all;
    for (std::int32_t v = 0; v < V_; ++v) all.push_back(v);
    expect_same(all);
    const auto eager = download<Real>(eager_.parameters), lazy = download<Real>(lazy_tensors_.parameters);
    for (std::size_t i = eager.size() - kDense; i < eager.size(); ++i) EXPECT_TRUE(same(lazy[i], eager[i])) << i;
  }
  std::int64_t longest_lag() {
    std::int64_t most = 0;
    for (const std::int32_t taken : download<std::int32_t>(taken_)) most = std::max(most, step_ - taken);
    return most;
  }

 private:
  template <class T>
  Buffer<T> upload(const std::vector<T>& values) {
    auto buffer = backend_.template allocate<T>(std::ssize(values));
    backend_.upload(std::span<const T>(values), buffer.span());
    return buffer;
  }
  template <class T>
  std::vector<T> download(const Buffer<T>& buffer) {
    std::vector<T> values(buffer.size());
    backend_.download(buffer.span(), std::span(values));
    return values;
  }
  TokenIndex index() {
    return {.count = count_.span(),
            .tokens = tokens_.span(),
            .slot = slot_.span(),
            .row_of = {},
            .segment = {},
            .position = {}};
  }
  /// Few rows of the upper half, as words are.
  void new_batch() {
    std::vector<std::int32_t> slot(static_cast<std::size_t>(V_), -1);
    batch_.clear();
    const std::int64_t count = random_.below(kMost + 1);
    for (std::int64_t tries = 0; tries < count; ++tries) {
      const std::int64_t v = random_.below(random_.once_in(10) ? V_ : V_ / 2);
      if (slot[static_cast<std::size_t>(v)] >= 0) continue;
      slot[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(batch_.size());
      batch_.push_back(static_cast<std::int32_t>(v));
    }
    std::vector<std::int32_t> tokens = batch_;
    tokens.resize(kMost, static_cast<std::int32_t>(V_));  // of no row
    const std::vector<std::int32_t> used = {static_cast<std::int32_t>(batch_.size())};
    backend_.upload(std::span<const std::int32_t>(used), count_.span());
    backend_.upload(std::span<const std::int32_t>(tokens), tokens_.span());
    backend_.upload(std::span<const std::int32_t>(slot), slot_.span());
    std::vector<Real> rows(rows_.size()), dense(kDense), scale = {static_cast<Real>(random_.choose({1, 0.25}))};
    const auto gradient = [&] { return special_ ? random_.number<Real>(1e-30, 1) : random_.ordinary<Real>(1e-6, 1); };
    for (Real& x : rows) x = random_.once_in(20) ? Real{0} : gradient();
    for (Real& x : dense) x = gradient();
    backend_.upload(std::span<const Real>(rows), rows_.span());
    backend_.upload(std::span<const Real>(dense), dense_.span());
    backend_.upload(std::span<const Real>(scale), scale_.span());
  }
  void expect_same(const std::vector<std::int32_t>& rows) {
    const auto compare = [&](const char* what, const Buffer<Real>& expected, const Buffer<Real>& actual) {
      const auto eager = download<Real>(expected), lazy = download<Real>(actual);
      if (eager.empty()) return;
      for (const std::int32_t v : rows) {
        for (std::int64_t e = 0; e < E_; ++e) {
          const auto i = static_cast<std::size_t>(v * E_ + e);
          ASSERT_TRUE(same(lazy[i], eager[i])) << what << " of row " << v << ", " << e << " after " << step_
                                               << " steps: " << lazy[i] << ", not " << eager[i];
        }
      }
    };
    compare("parameter", eager_.parameters, lazy_tensors_.parameters);
    compare("state1", eager_.state1, lazy_tensors_.state1);
    compare("state2", eager_.state2, lazy_tensors_.state2);
  }

  Backend<Real>& backend_;
  OptimizerSettings settings_;
  std::int64_t V_, E_;
  bool special_;
  Random& random_;
  std::int64_t step_ = 0;
  Tensors<Real> eager_, lazy_tensors_;
  Buffer<std::int32_t> count_, tokens_, slot_, taken_;
  Buffer<Real> rows_, dense_, scale_;
  LazyRows lazy_;
  std::vector<std::int32_t> batch_;
};

template <class Real>
void expect_same_bits(Backend<Real>& backend, OptimizerKind kind, Convention convention, std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const bool special = seed % 2 != 0;
  OptimizerSettings settings{.kind = kind, .convention = convention, .epsilon = 1e-7};
  settings.weight_decay = random.choose({0, 0, 0.01});
  settings.momentum = random.choose({0, 0.9});
  settings.nesterov = random.once_in(2);
  if (special) {
    settings.epsilon = random.choose({1e-8, 1e-3, 1e-30, 1e-40, 0});
    settings.beta1 = random.choose({0.9, 0.999, 0.5, 0, 1});
    settings.beta2 = random.choose({0.999, 0.9, 0.5, 0, 1});
    settings.rho = random.choose({0.9, 0.5, 0, 1});
    settings.momentum = random.choose({0, 0.5, 1, 1.5});
    settings.weight_decay = random.choose({0, 0, 0.1, 3});
  }
  TwoTables<Real> tables(backend, settings, 35 + random.below(40), 1 + random.below(100), special, random);
  // At a rate of 1 the last bit of what is subtracted from a parameter is one of its own.
  const double peak = special ? random.choose({1e-3, 1e-2, 1, 1e4}) : seed % 8 == 0 ? 1e-3 : 1;
  const bool pauses = seed % 4 >= 2;
  std::int64_t longest = 0;
  for (int step = 0; step < 150; ++step) {
    tables.step(pauses && random.once_in(10) ? 0 : random.uniform(0.5, 1) * peak);
    if (testing::Test::HasFatalFailure()) return;
    longest = std::max(longest, tables.longest_lag());
    if (random.once_in(60)) {
      tables.catch_up();
      tables.expect_same_table();
    }
  }
  tables.catch_up();
  tables.expect_same_table();
  EXPECT_GE(longest, 20);
  EXPECT_LT(longest, LazyRows::kMaxLag);
}

using Rule = std::tuple<OptimizerKind, Convention>;
const auto kRules = testing::Combine(testing::Values(OptimizerKind::kAdam, OptimizerKind::kAdamW, OptimizerKind::kSgd,
                                                     OptimizerKind::kRmsprop, OptimizerKind::kAdagrad),
                                     testing::Values(Convention::kKeras, Convention::kTorch));

class LazyRowsOnTheCpu : public testing::TestWithParam<Rule> {};

TEST_P(LazyRowsOnTheCpu, HaveTheBitsOfEveryStep) {
  const auto [kind, convention] = GetParam();
  for (const int threads : {1, 3}) {
    const auto singles = make_cpu_backend<float>(threads);
    const auto doubles = make_cpu_backend<double>(threads);
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      expect_same_bits(*singles, kind, convention, seed);
      expect_same_bits(*doubles, kind, convention, seed);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Rules, LazyRowsOnTheCpu, kRules);

class LazyRowsOnCuda : public testing::TestWithParam<Rule> {};

TEST_P(LazyRowsOnCuda, HaveTheBitsOfEveryStep) {
  const TestDevice device = cuda_device();
  REEL_REQUIRE_DEVICE(device);
  const auto [kind, convention] = GetParam();
  const auto backend = device.make();
  for (std::uint64_t seed = 0; seed < 2; ++seed) expect_same_bits(*backend, kind, convention, seed);
}
INSTANTIATE_TEST_SUITE_P(Rules, LazyRowsOnCuda, kRules);

}  // namespace
}  // namespace reel::test
