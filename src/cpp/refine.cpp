// Dense refinement of whole offset fields, as the network does it inside itself.
#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {

void refine_offsets(const Field& offsets, const Field& by, const int* channels, int steps, int threads,
                    float* refined) {
  const int h = offsets.height, w = offsets.width, stride = offsets.stride;
  parallel_for(offsets.planes / 2, threads, [&](int c, int) {
    const float* dx_plane = by.plane(2 * channels[c]);
    const float* dy_plane = by.plane(2 * channels[c] + 1);
    const float* from_x = offsets.plane(2 * c);
    const float* from_y = offsets.plane(2 * c + 1);
    float* to_x = refined + static_cast<std::ptrdiff_t>(2 * c) * h * w;
    float* to_y = to_x + static_cast<std::ptrdiff_t>(h) * w;
    for (int i = 0; i < h; ++i) {
      for (int j = 0; j < w; ++j) {
        const std::ptrdiff_t cell = static_cast<std::ptrdiff_t>(i) * w + j;
        // In double: single precision resolves 1e-4 pixels only on small pictures, and steep offsets magnify that.
        double mx = static_cast<double>(from_x[cell]), my = static_cast<double>(from_y[cell]);
        if (!is_finite(mx) || !is_finite(my)) mx = my = 0.0;
        for (int step = 0; step < steps; ++step) {
          const Offset<double> offset =
              read_offset(dx_plane, dy_plane, site_at(j * stride + mx, i * stride + my, h, w, stride));
          mx += offset.dx;
          my += offset.dy;
        }
        to_x[cell] = static_cast<float>(mx);
        to_y[cell] = static_cast<float>(my);
      }
    }
  });
}

}  // namespace personlab
