// The operations of the CUDA backend; contracts are in kernels/operations.h, whose checks the backend has made.
#pragma once

#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace reel::cuda {

void clear_index(CudaContext& context, const TokenIndex& index);
void select_rows(CudaContext& context, const SelectRows& args);
void index_tokens(CudaContext& context, const IndexTokens& args);
void project_tokens(CudaContext& context, const ProjectTokens<float>& args);
void rnn_forward(CudaContext& context, const RnnForward<float>& args);
/// The chosen kernels, for people.
std::string describe_recurrence(const CudaContext& context, const Shape& shape, Nonlinearity nonlinearity);
void head_forward(CudaContext& context, const HeadForward<float>& args);
void head_backward(CudaContext& context, const HeadBackward<float>& args);
void rnn_backward(CudaContext& context, const RnnBackward<float>& args);
void embedding_gradient(CudaContext& context, const EmbeddingGradient<float>& args);
void clip_gradient(CudaContext& context, const ClipGradient<float>& args);
void optimizer_step(CudaContext& context, const OptimizerStep<float>& args);

}  // namespace reel::cuda
