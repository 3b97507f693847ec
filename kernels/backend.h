// What computes: a device, its memory, and the operations that kernels/contract/ declares. kernels/cpu/ and
// kernels/cuda/ implement it, one file an operation.
//
// Dimensions: V vocabulary, E embedding, H hidden, B batch rows, T steps, N reviews, U distinct tokens of a batch, W
// width of what a projection makes. Every tensor is dense and row-major; its shape stands beside it. Row b takes part
// in the steps t < lengths[b]; after those its state is carried over, which is what masking means. A row of length 0
// keeps the state it was given.
//
// Operations are enqueued and return at once; upload(), download() and synchronize() wait. None allocates. The same
// seed on the same device with the same build gives the same bits, whatever the number of threads. A CPU (x86) takes
// numbers too small to be normal, below 1.2e-38 in float32, for 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/contract/batch.h"
#include "kernels/contract/clock.h"
#include "kernels/contract/head.h"
#include "kernels/contract/layer.h"
#include "kernels/contract/optimizer.h"
#include "kernels/contract/projection.h"
#include "kernels/contract/recurrence.h"
#include "kernels/contract/stack.h"
#include "kernels/device.h"
#include "kernels/error.h"
#include "kernels/range.h"

namespace reel {

/// A device that runs the operations in elements of type Real.
template <class Real>
class Backend : public Device {
 public:
  /// Checks an operation's arguments and enqueues it, as a range of the profile.
  template <class Op>
  void run(const Op& op) {
    check_arguments(op);
    const ProfileRange range(*this, Op::kName);
    execute(op);
  }

  /// Whether the sequences of such layers are packed (RecurrenceForward) between the operations that write and read
  /// them. `rows` and `has_steps` as of describe_recurrence().
  virtual bool packs_sequences(Cell, const SequenceShape&, std::int64_t /*rows*/, bool /*has_steps*/) const {
    return false;
  }

  /// Whether the input of such layers is projected together with the recurrence, as LayerForward and LayerBackward.
  virtual bool projects_input(Cell) const { return false; }
  /// A projection and the recurrence of what it makes, and both on the way back: apart, or as one.
  void run(const ProjectTokens<Real>& projection, const RecurrenceForward<Real>& recurrence) {
    if (projects_input(recurrence.cell)) return run(LayerForward<Real>{projection, recurrence});
    run(projection);
    run(recurrence);
  }
  void run(const RecurrenceBackward<Real>& recurrence, const ProjectionGradient<Real>& projection) {
    if (projects_input(recurrence.cell)) return run(LayerBackward<Real>{recurrence, projection});
    run(recurrence);
    run(projection);
  }

  /// Enqueues a branch to the backend of that branch, which is for run() and copy() during the call.
  using Branch = std::function<void(Backend& backend, std::size_t i)>;
  /// Calls branch(backend, i) for each i in [0, count). Branches may run at the same time, on a CPU the calls
  /// themselves may, on threads of their own: none may write what another one reads or writes. They begin when
  /// everything enqueued before is done, and all of them are done before what is enqueued afterwards. What a call
  /// throws first is thrown here, when all of them have ended. With timings they run in order, and so they do with
  /// cuDNN. What branches need is allocated by the first call with as many of them.
  virtual void run_branches(std::size_t count, const Branch& branch) {
    for (std::size_t i = 0; i < count; ++i) branch(*this, i);
  }

  /// Which kernels run the recurrence of such layers, whose input has `rows` rows at most, for people. `has_steps`:
  /// whether some of what flows back is known step by step alone, see OutputGradient.
  virtual std::string describe_recurrence(Cell cell, const SequenceShape& shape, std::int64_t rows,
                                          bool has_steps) const = 0;

 private:
  virtual void execute(const BeginStep& op) = 0;
  virtual void execute(const SelectRows& op) = 0;
  virtual void execute(const IndexTokens& op) = 0;
  virtual void execute(const ProjectTokens<Real>& op) = 0;
  virtual void execute(const RecurrenceForward<Real>& op) = 0;
  virtual void execute(const IndexSteps& op) = 0;
  virtual void execute(const ReverseIndex& op) = 0;
  virtual void execute(const StackStates<Real>& op) = 0;
  virtual void execute(const StackGradient<Real>& op) = 0;
  virtual void execute(const HeadForward<Real>& op) = 0;
  virtual void execute(const HeadBackward<Real>& op) = 0;
  virtual void execute(const RecurrenceBackward<Real>& op) = 0;
  virtual void execute(const ProjectionGradient<Real>& op) = 0;
  virtual void execute(const LayerForward<Real>&) { throw ContractError("a layer as one operation"); }
  virtual void execute(const LayerBackward<Real>&) { throw ContractError("a layer's way back as one operation"); }
  virtual void execute(const ClipGradient<Real>& op) = 0;
  virtual void execute(const OptimizerStep<Real>& op) = 0;
  virtual void execute(const CatchUp<Real>& op) = 0;
};

}  // namespace reel
