// The mark of functions that run on the host and on a GPU alike.
#pragma once

#ifndef PERSONLAB_HD
#ifdef __CUDACC__
#define PERSONLAB_HD __host__ __device__ inline
#else
#define PERSONLAB_HD inline
#endif
#endif
