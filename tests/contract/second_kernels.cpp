// Kernels of the second method, compiled once for each instruction set.
#define PERSONLAB_HD static inline
#include "second_method.hpp"
#include "simd/floats.hpp"

namespace personlab {
namespace second {
namespace PERSONLAB_KERNELS {
namespace {

using namespace ::personlab::PERSONLAB_KERNELS;

void compute(const float* a, const float* b, const std::uint16_t* half, Results& results) {
  results.ge = results.gt = results.le = 0;
  for (int i = 0; i < kCount; i += kLanes) {
    const Floats x = load<Floats>(a + i), y = load<Floats>(b + i), zero = broadcast<Floats>(0.0F);
    const Floats finite = min(max(x, broadcast<Floats>(-1000.0F)), broadcast<Floats>(1000.0F));
    store(min(x, y), results.min + i);
    store(max(x, y), results.max + i);
    store(select(cmp_le(x, y), x, zero), results.selected + i);
    store(sqrt(max(x, zero)), results.root + i);
    store(floor(finite), results.floor + i);
    store(to_int(finite), results.truncated + i);
    store(exp(finite), results.exp + i);
    store(sigmoid(finite), results.sigmoid + i);
    store(load<Floats>(reinterpret_cast<const Float16*>(half) + i), results.half + i);
    results.ge |= mask_bits(cmp_ge(x, y)) << i;
    results.gt |= mask_bits(cmp_gt(x, y)) << i;
    results.le |= mask_bits(cmp_le(x, y)) << i;
    for (int lane = i; lane < i + kLanes; ++lane) {
      results.any_gt[lane] = any(cmp_gt(x, y));
      results.all_ge[lane] = all(cmp_ge(x, y));
    }
  }
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels{&compute};

}  // namespace PERSONLAB_KERNELS
}  // namespace second
}  // namespace personlab
