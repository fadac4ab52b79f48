// Training targets, Simple Pose section 3.1: Gaussians around keypoints and across limbs, and masks on the grid.
#include "methods/simple_pose/encode.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "base/parallel.hpp"
#include "base/sampling.hpp"

namespace personlab::simple_pose {
namespace {

constexpr double kFloor = 0.01;   // of limbs in Part B, in the box around a limb
constexpr double kTiny = 1e-6;    // input pixels, added to a limb's length where the originals divide by it
constexpr double kMarginB = 4.0;  // input pixels around a limb's ends in Part B

struct Grid {
  int h, w, stride;
  std::ptrdiff_t cells() const { return static_cast<std::ptrdiff_t>(h) * w; }
  double centre(int i) const { return static_cast<double>(stride) * i + (stride - 1) / 2.0; }
};

// Cells first .. last along an axis; none where last < first.
struct Range {
  int first, last;

  Range(double from, double to, int cells)
      : first(static_cast<int>(clamp(from, 0.0, static_cast<double>(cells)))),
        last(static_cast<int>(clamp(to, -1.0, static_cast<double>(cells - 1)))) {}
};

struct Point {
  double x, y;
};

// How far from a Gaussian's centre its values reach the threshold, input pixels.
double reach_of(double sigma, double threshold) { return sigma * std::sqrt(-2.0 * std::log(threshold)); }

// The value of a Gaussian at a squared distance.
double gaussian(double squared, double sigma) { return std::exp(-squared / (2.0 * sigma * sigma)); }

// The cells whose centres may lie within `reach` of low .. high, input pixels.
Range cells_around(double low, double high, double reach, const Grid& grid, int cells) {
  return {std::floor((low - reach) / grid.stride) - 1.0, std::ceil((high + reach) / grid.stride) + 1.0, cells};
}

// Maps of keypoints and limbs, one at a time.
class Painter {
 public:
  Painter(const People& people, const MapParts& parts, const Grid& grid, const TargetOptions& options)
      : people_(people), parts_(parts), grid_(grid), options_(options) {}

  void paint_keypoint(int k, float* map) const {
    std::fill_n(map, grid_.cells(), 0.0F);
    std::vector<double> across;
    for (int p = 0; p < people_.count; ++p)
      if (is_labelled(p, k)) paint(at(p, k), across, map);
  }

  // `sums` and `counts` are scratch.
  void paint_limb(int limb, std::vector<double>& sums, std::vector<int>& counts, float* map) const {
    const auto [a, b] = parts_.limbs[static_cast<std::size_t>(limb)];
    sums.assign(static_cast<std::size_t>(grid_.cells()), 0.0);
    counts.assign(sums.size(), 0);
    for (int p = 0; p < people_.count; ++p)
      if (is_labelled(p, a) && is_labelled(p, b)) add(at(p, a), at(p, b), sums, counts);
    for (std::size_t cell = 0; cell < sums.size(); ++cell) {
      const double value = options_.overlap == Overlap::kMean ? sums[cell] / std::max(counts[cell], 1) : sums[cell];
      map[cell] = static_cast<float>(std::min(value, 1.0));
    }
  }

 private:
  const float* entry(int p, int k) const {
    return people_.keypoints + (static_cast<std::ptrdiff_t>(p) * parts_.n_keypoints + k) * 3;
  }
  bool is_labelled(int p, int k) const { return entry(p, k)[2] > 0.0F; }
  Point at(int p, int k) const { return {static_cast<double>(entry(p, k)[0]), static_cast<double>(entry(p, k)[1])}; }

  // Adds one keypoint to its map, by max.
  void paint(const Point& point, std::vector<double>& across, float* map) const {
    const double sigma = options_.keypoint_sigma, reach = reach_of(sigma, options_.threshold);
    const bool square = options_.rules == TargetRules::kPartB;
    const auto range = [&](double at, int cells) {
      if (!square) return cells_around(at, at, reach, grid_, cells);
      const double nearest = std::nearbyint(at / grid_.stride), side = std::ceil(reach / grid_.stride);
      return Range(nearest - side, nearest + side, cells);
    };
    const Range rows = range(point.y, grid_.h), columns = range(point.x, grid_.w);
    across.clear();
    for (int j = columns.first; j <= columns.last; ++j) {
      const double dx = grid_.centre(j) - point.x;
      across.push_back(gaussian(dx * dx, sigma));
    }
    for (int i = rows.first; i <= rows.last; ++i) {
      const double dy = grid_.centre(i) - point.y, down = gaussian(dy * dy, sigma);
      for (int j = columns.first; j <= columns.last; ++j) {
        const double value = down * across[static_cast<std::size_t>(j - columns.first)];
        const bool above = value > options_.threshold, equal = value == options_.threshold;
        if (!square && !above && !(equal && options_.rules == TargetRules::kDefault)) continue;
        float& own = map[static_cast<std::ptrdiff_t>(i) * grid_.w + j];
        own = std::max(own, static_cast<float>(value));
      }
    }
  }

  // Adds the limb of one person: to the max, or to the sum and the number of those whose value is not 0.
  void add(const Point& a, const Point& b, std::vector<double>& sums, std::vector<int>& counts) const {
    const bool original = options_.rules != TargetRules::kDefault, part_a = options_.rules == TargetRules::kPartA;
    const double reach = reach_of(options_.limb_sigma, options_.threshold);
    const auto range = [&](double one, double other, int cells) {
      const double low = std::min(one, other), high = std::max(one, other);
      if (!original) return cells_around(low, high, reach, grid_, cells);
      const double margin = part_a ? grid_.stride : kMarginB;
      return Range(std::nearbyint((low - margin) / grid_.stride),
                   std::nearbyint((high + margin) / grid_.stride) - (part_a ? 1.0 : 0.0), cells);
    };
    const Range rows = range(a.y, b.y, grid_.h), columns = range(a.x, b.x, grid_.w);
    const double corner = part_a ? (grid_.stride - 1) / 2.0 : 0.0;  // Part A reads limbs at a cell's first pixel
    const Point along{b.x - a.x, b.y - a.y};
    const double length = std::hypot(along.x, along.y), squared_length = length * length;
    for (int i = rows.first; i <= rows.last; ++i) {
      for (int j = columns.first; j <= columns.last; ++j) {
        const Point to{grid_.centre(j) - corner - a.x, grid_.centre(i) - corner - a.y};
        double squared;
        if (original) {
          const double distance = (along.x * to.y - along.y * to.x) / (length + kTiny);  // to the line
          squared = distance * distance;
        } else {
          const double way = (to.x * along.x + to.y * along.y) / (squared_length > 0.0 ? squared_length : 1.0);
          const double share = clamp(way, 0.0, 1.0);
          const double dx = to.x - share * along.x, dy = to.y - share * along.y;
          squared = dx * dx + dy * dy;
        }
        double value = gaussian(squared, options_.limb_sigma);
        if (!(value > options_.threshold)) {
          if (options_.rules != TargetRules::kPartB) continue;
          value = kFloor;
        }
        const std::size_t cell = static_cast<std::size_t>(i) * static_cast<std::size_t>(grid_.w) + j;
        ++counts[cell];
        sums[cell] = options_.overlap == Overlap::kMean ? sums[cell] + value : std::max(sums[cell], value);
      }
    }
  }

  const People& people_;
  const MapParts& parts_;
  const Grid& grid_;
  const TargetOptions& options_;
};

// The mean of a mask over the pixels of each cell, 0..1; in Part B a whole number of 255ths. `nothing` without a mask.
void average(const std::uint8_t* mask, const Grid& grid, TargetRules rules, float nothing, float* result) {
  if (mask == nullptr) {
    std::fill_n(result, grid.cells(), nothing);
    return;
  }
  const std::size_t s = static_cast<std::size_t>(grid.stride), row = s * static_cast<std::size_t>(grid.w);
  for (std::ptrdiff_t i = 0; i < grid.h; ++i) {
    for (std::ptrdiff_t j = 0; j < grid.w; ++j) {
      const std::uint8_t* corner = mask + (static_cast<std::size_t>(i) * row + static_cast<std::size_t>(j)) * s;
      double sum = 0.0;
      for (std::size_t y = 0; y < s; ++y)
        for (std::size_t x = 0; x < s; ++x) sum += corner[y * row + x];
      const double mean = sum / static_cast<double>(s * s);
      result[i * grid.w + j] = static_cast<float>((rules == TargetRules::kPartB ? std::nearbyint(mean) : mean) / 255.0);
    }
  }
}

// The min over each 3x3 cells, fewer at the border.
void erode(const std::vector<float>& values, const Grid& grid, float* result) {
  const float* all = values.data();
  for (int i = 0; i < grid.h; ++i) {
    for (int j = 0; j < grid.w; ++j) {
      float lowest = all[static_cast<std::ptrdiff_t>(i) * grid.w + j];
      for (int y = std::max(i - 1, 0); y <= std::min(i + 1, grid.h - 1); ++y)
        for (int x = std::max(j - 1, 0); x <= std::min(j + 1, grid.w - 1); ++x)
          lowest = std::min(lowest, all[static_cast<std::ptrdiff_t>(y) * grid.w + x]);
      result[static_cast<std::ptrdiff_t>(i) * grid.w + j] = lowest;
    }
  }
}

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(low) + " to " +
                                std::to_string(high) + ", got " + std::to_string(value));
}

}  // namespace

void check(const TargetOptions& options) {
  check_range("keypoint_sigma", options.keypoint_sigma, 1e-3, 4096.0);
  check_range("limb_sigma", options.limb_sigma, 1e-3, 4096.0);
  check_range("threshold", options.threshold, 1e-9, 1.0);
  check_range("threads", options.threads, 1, 1024);
}

void encode_maps(const People& people, const MapParts& parts, int stride, const TargetOptions& options,
                 const MapViews& maps) {
  const Grid grid{people.height / stride, people.width / stride, stride};
  const std::ptrdiff_t cells = grid.cells();
  const Painter painter(people, parts, grid, options);
  const int limbs = static_cast<int>(parts.limbs.size()), keypoints = parts.n_keypoints;
  const std::size_t workers = static_cast<std::size_t>(std::max(options.threads, 1));
  std::vector<std::vector<double>> sums(workers);
  std::vector<std::vector<int>> counts(workers);
  parallel_for(limbs + keypoints + 1, options.threads, options.interrupt, [&](int piece, int worker) {
    const auto own = static_cast<std::size_t>(worker);
    if (piece < limbs) {
      painter.paint_limb(piece, sums[own], counts[own], maps.limbs + piece * cells);
    } else if (piece < limbs + keypoints) {
      painter.paint_keypoint(piece - limbs, maps.keypoints + (piece - limbs) * cells);
    } else {
      std::vector<float> person(static_cast<std::size_t>(cells));
      average(people.people, grid, options.rules, 0.0F, person.data());
      erode(person, grid, maps.person);
      average(people.counted, grid, options.rules, 1.0F, maps.weights);
    }
  });
  std::fill_n(maps.brightest, cells, 0.0F);
  for (int k = 0; k < keypoints; ++k)
    for (std::ptrdiff_t cell = 0; cell < cells; ++cell)
      maps.brightest[cell] = std::max(maps.brightest[cell], maps.keypoints[k * cells + cell]);
}

}  // namespace personlab::simple_pose
