// Hough voting: every lattice point inside a keypoint's disc votes, by its short offset, for where the keypoint is.
//
// Work follows the votes. Grid cells whose corners all lie under the threshold are passed over in one comparison each; the
// rest is interpolated row by row, never as a plane. Votes are summed in 64-bit fixed point, so that the sum does not depend
// on their order, and only tiles that a vote has touched are converted, kept and cleared.
#include <algorithm>
#include <cmath>

#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr int kTile = HoughPlane::kTile;
constexpr float kVoteUnit = 1073741824.0F;  // 2^30: fixed-point value of a whole vote; 2^33 of them fit one sum
constexpr double kPi = 3.14159265358979323846;

// Lattice points along one axis, by the pair of cells that they lie between.
struct LatticeAxis {
  int points = 0;
  std::vector<std::int32_t> first;  // (blocks + 1): points between cell b and cell b + 1; the last cell joins the last
  std::vector<float> t;             // (points) in [0, 1] from cell b

  LatticeAxis(int cells, int stride, int g) {
    const int last = (cells - 1) * stride, blocks = std::max(cells - 1, 1);
    points = last / g + 1;
    t.resize(static_cast<std::size_t>(points));
    first.assign(static_cast<std::size_t>(blocks) + 1, points);
    int block = -1;
    for (int p = 0; p < points; ++p) {
      const int b = std::min(p * g / stride, blocks - 1);
      while (block < b) first[static_cast<std::size_t>(++block)] = p;
      t[static_cast<std::size_t>(p)] = static_cast<float>(p * g - b * stride) / static_cast<float>(stride);
    }
  }
};

// One keypoint type on its way from fields to scores.
class Voter {
 public:
  Voter(const Field& heatmaps, const Field& short_offsets, const LatticeAxis& x, const LatticeAxis& y,
        const DecodeOptions& options)
      : heatmaps_(heatmaps), short_offsets_(short_offsets), x_(x), y_(y), g_(static_cast<float>(options.hough_stride)) {
    const double t = options.vote_threshold;
    lowest_ = static_cast<float>(std::log(t) - std::log1p(-t));
  }

  void vote(int k, HoughPlane& plane, HoughScratch& scratch) const {
    const int w = heatmaps_.width, h = heatmaps_.height;
    const int below = h > 1 ? w : 0, right = w > 1 ? 1 : 0;
    const int row_blocks = std::max(h - 1, 1), column_blocks = std::max(w - 1, 1);
    const float* logits = heatmaps_.plane(k);
    for (int r = 0; r < row_blocks; ++r) {
      const float* top = logits + static_cast<std::ptrdiff_t>(r) * w;
      const auto active = [&](int c) {
        return top[c] >= lowest_ || top[c + right] >= lowest_ || top[c + below] >= lowest_ ||
               top[c + below + right] >= lowest_;
      };
      for (int c = 0; c < column_blocks; ++c) {
        if (!active(c)) continue;
        int end = c + 1;
        while (end < column_blocks && active(end)) ++end;
        vote_run(k, r, c, end, plane, scratch);
        c = end;
      }
    }
  }

 private:
  // All votes from blocks [begin, end) of row of blocks r.
  void vote_run(int k, int r, int begin, int end, const HoughPlane& plane, HoughScratch& scratch) const {
    const int w = heatmaps_.width;
    const std::ptrdiff_t origin = static_cast<std::ptrdiff_t>(r) * w + begin;
    const std::ptrdiff_t below = heatmaps_.height > 1 ? w : 0;
    const float* fields[3] = {heatmaps_.plane(k) + origin, short_offsets_.plane(2 * k) + origin,
                              short_offsets_.plane(2 * k + 1) + origin};
    const int cells = heatmaps_.width > 1 ? end - begin + 1 : 1;
    float nothing = 0.0F;  // stays 0 while all values are finite
    for (const float* field : fields)
      for (int c = 0; c < cells; ++c) nothing += (field[c] - field[c]) + (field[c + below] - field[c + below]);
    const bool finite = nothing == 0.0F;

    const int first = x_.first[static_cast<std::size_t>(begin)], last = x_.first[static_cast<std::size_t>(end)];
    const int first_row = y_.first[static_cast<std::size_t>(r)], last_row = y_.first[static_cast<std::size_t>(r) + 1];
    for (int row = first_row; row < last_row; ++row) {
      const float ty = y_.t[static_cast<std::size_t>(row)];
      // Values at the run's lattice points: logits, dx, dy.
      float* values[3];
      for (int f = 0; f < 3; ++f) {
        values[f] = scratch.row.data() + static_cast<std::ptrdiff_t>(f) * (x_.points + w);
        interpolate(fields[f], below, cells, begin, end, ty, finite, values[f]);
      }
      std::int32_t* voters = scratch.voters.data();
      int count = 0;
      for (int p = 0; p < last - first; ++p) {
        voters[count] = p;
        count += static_cast<int>(values[0][p] >= lowest_);
      }
      for (int v = 0; v < count; ++v) {
        const int p = voters[v];
        cast(sigmoid(values[0][p]), first + p, row, values[1][p], values[2][p], plane, scratch);
      }
    }
  }

  // One field at the lattice points of blocks [begin, end) on the lattice row ty between two rows of cells. `out` has room
  // for the row's points and, behind them, for a row of cells.
  void interpolate(const float* top, std::ptrdiff_t below, int cells, int begin, int end, float ty, bool finite,
                   float* out) const {
    const int first = x_.first[static_cast<std::size_t>(begin)];
    const int right = cells > 1 ? 1 : 0;
    if (!finite) {
      for (int b = begin; b < end; ++b) {
        const float* corner = top + (b - begin);
        for (int p = x_.first[static_cast<std::size_t>(b)]; p < x_.first[static_cast<std::size_t>(b) + 1]; ++p)
          out[p - first] = lerp2(corner[0], corner[right], corner[below], corner[below + right],
                                 x_.t[static_cast<std::size_t>(p)], ty);
      }
      return;
    }
    float* mixed = out + x_.points;  // the two rows of cells made one
    const float sy = 1.0F - ty;
    for (int c = 0; c < cells; ++c) mixed[c] = sy * top[c] + ty * top[c + below];
    for (int b = begin; b < end; ++b) {
      const float left_value = mixed[b - begin], right_value = mixed[b - begin + right];
      const int from = x_.first[static_cast<std::size_t>(b)], to = x_.first[static_cast<std::size_t>(b) + 1];
      const float* t = x_.t.data();
      for (int p = from; p < to; ++p) out[p - first] = (1.0F - t[p]) * left_value + t[p] * right_value;
    }
  }

  // Adds one vote of weight p from lattice point (column, row) by an offset in input pixels.
  void cast(float p, int column, int row, float dx, float dy, const HoughPlane& plane, HoughScratch& scratch) const {
    // Relative to the voter: as precise at the far corner of a large picture as at the near one.
    const float u = dx / g_, v = dy / g_;
    if (!(u > static_cast<float>(-1 - column) && u < static_cast<float>(plane.columns - column) &&
          v > static_cast<float>(-1 - row) && v < static_cast<float>(plane.rows - row)))
      return;  // outside, or not finite
    const int left = floor_int(u), top = floor_int(v);
    const float fx = u - static_cast<float>(left), fy = v - static_cast<float>(top);
    const float weight = p * kVoteUnit, upper = weight * (1.0F - fy), lower = weight * fy;
    const int j = column + left + 1, i = row + top + 1;  // with the margin
    const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(plane.tile_columns) * kTile;
    std::int64_t* at = scratch.votes.data() + i * pitch + j;
    at[0] += static_cast<std::int32_t>(upper * (1.0F - fx));
    at[1] += static_cast<std::int32_t>(upper * fx);
    at[pitch] += static_cast<std::int32_t>(lower * (1.0F - fx));
    at[pitch + 1] += static_cast<std::int32_t>(lower * fx);
    mark(i / kTile, j / kTile, plane, scratch);
    if ((i + 1) % kTile == 0 || (j + 1) % kTile == 0) {
      mark((i + 1) / kTile, j / kTile, plane, scratch);
      mark(i / kTile, (j + 1) / kTile, plane, scratch);
      mark((i + 1) / kTile, (j + 1) / kTile, plane, scratch);
    }
  }

  static void mark(int tile_row, int tile_column, const HoughPlane& plane, HoughScratch& scratch) {
    const std::int32_t tile = tile_row * plane.tile_columns + tile_column;
    std::uint8_t& marked = scratch.marked[static_cast<std::size_t>(tile)];
    if (marked == 0) {
      marked = 1;
      scratch.tiles.push_back(tile);
    }
  }

  const Field& heatmaps_;
  const Field& short_offsets_;
  const LatticeAxis& x_;
  const LatticeAxis& y_;
  float g_;
  float lowest_;  // logit of the vote threshold
};

// Moves the touched tiles from sums to scores, and leaves the scratch all zero.
void collect(double scale, HoughPlane& plane, HoughScratch& scratch) {
  const std::ptrdiff_t pitch = static_cast<std::ptrdiff_t>(plane.tile_columns) * kTile;
  std::sort(scratch.tiles.begin(), scratch.tiles.end());
  for (const std::int32_t tile : scratch.tiles) {
    const int i0 = tile / plane.tile_columns * kTile, j0 = tile % plane.tile_columns * kTile;
    float* out = plane.add(tile);
    for (int i = 0; i < kTile; ++i) {
      std::int64_t* sums = scratch.votes.data() + (i0 + i) * pitch + j0;
      const bool row_inside = i0 + i >= 1 && i0 + i <= plane.rows;
      for (int j = 0; j < kTile; ++j) {
        const bool inside = row_inside && j0 + j >= 1 && j0 + j <= plane.columns;
        out[i * kTile + j] = inside ? static_cast<float>(static_cast<double>(sums[j]) * scale) : 0.0F;
        sums[j] = 0;
      }
    }
    scratch.marked[static_cast<std::size_t>(tile)] = 0;
  }
  scratch.tiles.clear();
}

}  // namespace

void HoughPlane::reset(int lattice_rows, int lattice_columns) {
  if (lattice_rows != rows || lattice_columns != columns || slot.empty()) {
    rows = lattice_rows;
    columns = lattice_columns;
    tile_rows = (rows + 2 + kTile - 1) / kTile;
    tile_columns = (columns + 2 + kTile - 1) / kTile;
    slot.assign(static_cast<std::size_t>(tile_rows) * tile_columns, -1);
  } else {
    for (const std::int32_t tile : touched) slot[static_cast<std::size_t>(tile)] = -1;
  }
  touched.clear();
  scores.clear();
}

float* HoughPlane::add(int tile) {
  slot[static_cast<std::size_t>(tile)] = static_cast<std::int32_t>(touched.size());
  touched.push_back(tile);
  scores.resize(touched.size() * kTilePoints);
  return scores.data() + (touched.size() - 1) * kTilePoints;
}

void hough_vote(const Field& heatmaps, const Field& short_offsets, const DecodeOptions& options,
                std::vector<HoughPlane>& hough, std::vector<HoughScratch>& scratch) {
  const int count = heatmaps.planes;
  hough.resize(static_cast<std::size_t>(count));
  if (heatmaps.cells() == 0) {
    for (HoughPlane& plane : hough) plane.reset(0, 0);
    return;
  }
  const LatticeAxis x(heatmaps.width, heatmaps.stride, options.hough_stride);
  const LatticeAxis y(heatmaps.height, heatmaps.stride, options.hough_stride);
  const Voter voter(heatmaps, short_offsets, x, y, options);
  const double g = options.hough_stride, radius = options.disk_radius;
  const double scale = g * g / (kPi * radius * radius) / static_cast<double>(kVoteUnit);
  scratch.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, count))));
  parallel_for(count, options.threads, [&](int k, int worker) {
    HoughPlane& plane = hough[static_cast<std::size_t>(k)];
    HoughScratch& own = scratch[static_cast<std::size_t>(worker)];
    plane.reset(y.points, x.points);
    const std::size_t tiles = static_cast<std::size_t>(plane.tile_rows) * plane.tile_columns;
    if (own.marked.size() < tiles) own.marked.resize(tiles, 0);
    if (own.votes.size() < tiles * HoughPlane::kTilePoints) own.votes.resize(tiles * HoughPlane::kTilePoints, 0);
    own.row.resize(3 * static_cast<std::size_t>(x.points + heatmaps.width));
    own.voters.resize(static_cast<std::size_t>(x.points) + 1);
    try {
      voter.vote(k, plane, own);
      collect(scale, plane, own);
    } catch (...) {  // out of memory: what is no longer all zero must not reach the next call
      own = HoughScratch();
      throw;
    }
  });
}

}  // namespace personlab
