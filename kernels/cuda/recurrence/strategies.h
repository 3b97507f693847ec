// The recurrence's kernels by strategy; strategy.cpp chooses one. Backward passes leave d_w_hh to it.
#pragma once

#include "kernels/contract/layer.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

/// resident.cu: one launch for all timesteps; W_hh stays in a block's registers (H <= 128), or half there and half in
/// its shared memory (H <= 256).
constexpr std::int64_t kMaxResidentHidden = 256;
std::size_t resident_shared_bytes(std::int64_t hidden);
void rnn_forward_resident(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_resident(CudaContext& context, const RecurrenceBackward<float>& op);

/// tensor_core.cu: the same on tensor cores, with fp16 states and bfloat16 gradients; of bounded cells.
void rnn_forward_tensor_core(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_tensor_core(CudaContext& context, const RecurrenceBackward<float>& op);

/// tensor_core_gated.cu: the same of cells of several gates.
constexpr std::int64_t kMaxTensorCoreGatedHidden = 128;
void rnn_forward_tensor_core_gated(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_tensor_core_gated(CudaContext& context, const RecurrenceBackward<float>& op);

/// cluster.cu: one launch for all timesteps; the blocks of a cluster keep W_hh together. cluster_capacity() is how
/// many clusters the device runs at once, as it says itself: 0 where it has none, or none of this size fits. Each takes
/// its share of the batch in tiles, cluster_tiles() of them at most.
constexpr std::int64_t kMaxClusterHidden = 512;
int cluster_capacity(const CudaContext& context, std::int64_t hidden);
std::int64_t cluster_tiles(int capacity, std::int64_t batch);
void rnn_forward_cluster(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_cluster(CudaContext& context, const RecurrenceBackward<float>& op);

/// gated.cu: one launch for all timesteps, of cells of several gates; the blocks of a cluster (H <= 64: one block) keep
/// W_hh together. gated_capacity() clusters, at most those that the device runs at once, walk through the batch,
/// up to gated_rows() rows at a time; 0 where H needs clusters and there are none.
constexpr std::int64_t kMaxGatedHidden = 256, kMaxGatedHiddenOfABlock = 64;
int gated_capacity(const CudaContext& context, std::int64_t hidden);
int gated_rows(std::int64_t hidden);
void rnn_forward_gated(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_gated(CudaContext& context, const RecurrenceBackward<float>& op);

/// stepwise.cu: a product and a pointwise kernel a step, for any H.
void rnn_forward_stepwise(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_stepwise(CudaContext& context, const RecurrenceBackward<float>& op);

/// weight_gradient.cu: d_w_hh of packed sequences.
void weight_gradient(CudaContext& context, const RecurrenceBackward<float>& op);

/// truncate.cu: makes gradients 0 that op.bptt leaves out, after any of these.
void truncate(CudaContext& context, const RecurrenceBackward<float>& op);

/// cudnn.cu: cuDNN's layer, for any H; context.cudnn must be there. The forward pass keeps what the backward pass
/// needs: one batch at a time. Of cells of one gate the recurrence alone, of others with the projection.
void rnn_forward_cudnn(CudaContext& context, const RecurrenceForward<float>& op);
void rnn_backward_cudnn(CudaContext& context, const RecurrenceBackward<float>& op);
void layer_forward_cudnn(CudaContext& context, const LayerForward<float>& op);
void layer_backward_cudnn(CudaContext& context, const LayerBackward<float>& op);

}  // namespace reel::cuda
