// Chooses the second method's kernels, and compares their results with scalars, bit by bit. Prints the instruction set.
#include "second_method.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/sampling.hpp"
#include "simd/dispatch.hpp"

namespace personlab {
namespace second {

#define PERSONLAB_DECLARE(ISA)   \
  namespace ISA {                \
  extern const Kernels kKernels; \
  }
PERSONLAB_FOR_EACH_ISA(PERSONLAB_DECLARE)

const Kernels& kernels() {
  static const Kernels& chosen = PERSONLAB_CHOOSE(kKernels);
  return chosen;
}

}  // namespace second
}  // namespace personlab

namespace {

using namespace personlab;
using namespace personlab::second;

template <typename T>
int differ(const char* name, int lane, T vector, T scalar) {
  if (std::memcmp(&vector, &scalar, sizeof vector) == 0) return 0;
  std::fprintf(stderr, "%s, lane %d: %.9g, expected %.9g\n", name, lane, static_cast<double>(vector),
               static_cast<double>(scalar));
  return 1;
}

}  // namespace

int main() {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float special[] = {0.0F,   1.5F, -1.5F, 0.4F, -0.4F,   3.0F,     -88.5F,
                           90.25F, inf,  -inf,  nan,  999.75F, -999.75F, -3.0F};
  constexpr int kSpecial = sizeof special / sizeof *special;
  float a[kCount], b[kCount];
  std::uint16_t half[kCount];
  for (int i = 0; i < kCount; ++i) {
    a[i] = special[i % kSpecial];
    b[i] = i < 16 ? special[i * 5 % kSpecial] : a[i] - 1.0F;  // the last lanes compare alike, but for NaN and infinity
    half[i] = static_cast<std::uint16_t>(i * 2111);
  }
  Results results;
  second::kernels().compute(a, b, half, results);
  int failures = 0;
  for (int i = 0; i < kCount; ++i) {
    const float finite = a[i] > -1000.0F ? (a[i] < 1000.0F ? a[i] : 1000.0F) : -1000.0F;
    failures += differ("min", i, results.min[i], a[i] < b[i] ? a[i] : b[i]);
    failures += differ("max", i, results.max[i], a[i] > b[i] ? a[i] : b[i]);
    failures += differ("select", i, results.selected[i], a[i] <= b[i] ? a[i] : 0.0F);
    failures += differ("sqrt", i, results.root[i], std::sqrt(a[i] > 0.0F ? a[i] : 0.0F));
    failures += differ("floor", i, results.floor[i] + 0.0F, std::floor(finite) + 0.0F);  // no negative zero
    failures += differ("to_int", i, results.truncated[i], static_cast<std::int32_t>(finite));
    failures += differ("exp", i, results.exp[i], exp_same(finite));
    failures += differ("sigmoid", i, results.sigmoid[i], personlab::sigmoid(finite));
    failures += differ("load", i, results.half[i], to_float32(Float16{half[i]}));
    failures += differ("cmp_ge", i, static_cast<int>(results.ge >> i & 1), a[i] >= b[i] ? 1 : 0);
    failures += differ("cmp_gt", i, static_cast<int>(results.gt >> i & 1), a[i] > b[i] ? 1 : 0);
    failures += differ("cmp_le", i, static_cast<int>(results.le >> i & 1), a[i] <= b[i] ? 1 : 0);
  }
  const int lanes = isa() == Isa::kAvx512 ? 16 : (isa() == Isa::kAvx2 ? 8 : 4);
  for (int i = 0; i < kCount; i += lanes) {
    bool any_gt = false, all_ge = true;
    for (int lane = i; lane < i + lanes; ++lane) {
      any_gt = any_gt || a[lane] > b[lane];
      all_ge = all_ge && a[lane] >= b[lane];
    }
    failures += differ("any", i, static_cast<int>(results.any_gt[i]), any_gt ? 1 : 0);
    failures += differ("all", i, static_cast<int>(results.all_ge[i]), all_ge ? 1 : 0);
  }
  std::puts(isa_name());
  return failures == 0 ? 0 : 1;
}
