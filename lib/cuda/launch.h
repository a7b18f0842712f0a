#pragma once

// How the work items of device_work.h and ragged_work.h are launched.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "dptf/inline.h"
// Formulas of one element, which headers mark so, are for the device as well.
#undef DPTF_INLINE
#define DPTF_INLINE static __host__ __device__ inline
#undef DPTF_INLINE_MEMBER
#define DPTF_INLINE_MEMBER __host__ __device__ inline

#include "dptf/cuda_kernels.h"

namespace dptf {
namespace cuda {
namespace {

constexpr int kThreads = 256, kWarp = 32;

template <typename F>
__global__ void __launch_bounds__(kThreads) work(F f, int64_t n, int lanes) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t groups = static_cast<int64_t>(gridDim.x) * blockDim.x / lanes;
  for (int64_t i = thread / lanes; i < n; i += groups) f(i, static_cast<int>(thread % lanes), lanes);
}

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

template <typename F>
void launch(const F& f, int64_t n, int lanes, Stream stream) {
  if (n <= 0) return;
  const int64_t blocks = (n * lanes + kThreads - 1) / kThreads;
  work<<<static_cast<unsigned>(blocks < (1 << 20) ? blocks : (1 << 20)), kThreads, 0,
         static_cast<cudaStream_t>(stream.handle)>>>(f, n, lanes);
  check(cudaGetLastError());
}

void clear(void* p, size_t bytes, Stream stream) {
  check(cudaMemsetAsync(p, 0, bytes, static_cast<cudaStream_t>(stream.handle)));
}

}  // namespace
}  // namespace cuda
}  // namespace dptf
