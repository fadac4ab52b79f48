// Hough voting: every lattice point inside a keypoint's disc votes, by its short offset, for where the keypoint is.
//
// Work follows the votes. Lattice points between cells that all lie under the threshold are passed over together; the rest
// is read a few hundred points at a time, never as a plane. Votes are summed in 64-bit fixed point, so that the sum does not depend
// on their order, and only tiles that a vote has touched are converted, kept and cleared.
#include <algorithm>
#include <cmath>

#include "kernels.hpp"
#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"

namespace personlab {
namespace {

constexpr int kTile = HoughPlane::kTile;
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

// What one keypoint type's votes are cast from and into.
class Voter {
 public:
  Voter(const Field& heatmaps, const Field& short_offsets, const LatticeAxis& x, const LatticeAxis& y,
        const DecodeOptions& options)
      : heatmaps_(heatmaps),
        short_offsets_(short_offsets),
        x_(x),
        y_(y),
        inverse_g_(1.0F / static_cast<float>(options.hough_stride)) {
    const double t = options.vote_threshold;
    lowest_ = static_cast<float>(std::log(t) - std::log1p(-t));
  }

  void vote(int k, const HoughPlane& plane, HoughScratch& scratch) const {
    const int w = heatmaps_.width, h = heatmaps_.height;
    const int below = h > 1 ? w : 0, right = w > 1 ? 1 : 0;
    const float* logits = heatmaps_.plane(k);
    scratch.ballots.count = 0;
    for (int r = 0; r < std::max(h - 1, 1); ++r) {
      const float* top = logits + static_cast<std::ptrdiff_t>(r) * w;
      for (int c = 0; c < std::max(w - 1, 1); ++c)
        if (top[c] >= lowest_ || top[c + right] >= lowest_ || top[c + below] >= lowest_ ||
            top[c + below + right] >= lowest_)
          sample_block(k, r, c, plane, scratch);
    }
    cast(plane, scratch);
  }

 private:
  // Reads the fields at the lattice points between four cells.
  void sample_block(int k, int r, int c, const HoughPlane& plane, HoughScratch& scratch) const {
    const int w = heatmaps_.width;
    const std::ptrdiff_t cell = static_cast<std::ptrdiff_t>(r) * w + c;
    const std::ptrdiff_t below = heatmaps_.height > 1 ? w : 0, right = w > 1 ? 1 : 0;
    const float* planes[3] = {heatmaps_.plane(k), short_offsets_.plane(2 * k), short_offsets_.plane(2 * k + 1)};
    float corner[3][4];
    float nothing = 0.0F;  // stays 0 while all values are finite
    for (int f = 0; f < 3; ++f) {
      const float* at = planes[f] + cell;
      corner[f][0] = at[0];
      corner[f][1] = at[right];
      corner[f][2] = at[below];
      corner[f][3] = at[below + right];
      for (const float value : corner[f]) nothing += value - value;
    }
    const int first = x_.first[static_cast<std::size_t>(c)], n = x_.first[static_cast<std::size_t>(c) + 1] - first;
    const float* tx = x_.t.data() + first;
    Ballots& ballots = scratch.ballots;
    const int last_row = y_.first[static_cast<std::size_t>(r) + 1];
    for (int row = y_.first[static_cast<std::size_t>(r)]; row < last_row; ++row) {
      const float ty = y_.t[static_cast<std::size_t>(row)];
      for (int done = 0; done < n; done += Ballots::kMost) {
        const int some = std::min(n - done, Ballots::kMost);
        if (ballots.count + some > Ballots::kMost) cast(plane, scratch);
        float* out[3] = {ballots.logit + ballots.count, ballots.dx + ballots.count, ballots.dy + ballots.count};
        if (nothing == 0.0F) {
          for (int f = 0; f < 3; ++f) mix(corner[f], tx + done, ty, some, out[f]);
        } else {
          for (int f = 0; f < 3; ++f)
            for (int i = 0; i < some; ++i)
              out[f][i] = lerp2(corner[f][0], corner[f][1], corner[f][2], corner[f][3], tx[done + i], ty);
        }
        for (int i = 0; i < some; ++i) {
          ballots.column[ballots.count + i] = first + done + i;
          ballots.row[ballots.count + i] = row;
        }
        ballots.count += some;
      }
    }
  }

  // One row of lattice points between four finite values.
  static void mix(const float* corner, const float* __restrict tx, float ty, int n, float* __restrict out) {
    const float sy = 1.0F - ty;
    const float left = sy * corner[0] + ty * corner[2], right = sy * corner[1] + ty * corner[3];
    for (int i = 0; i < n; ++i) out[i] = (1.0F - tx[i]) * left + tx[i] * right;
  }

  // Adds the collected votes to the sums.
  void cast(const HoughPlane& plane, HoughScratch& scratch) const {
    Ballots& ballots = scratch.ballots;
    kernels().work_out(ballots, inverse_g_, lowest_, plane.columns, plane.rows);
    const int pitch = plane.tile_columns * kTile;
    for (int i = 0; i < ballots.count; ++i) {
      const std::int32_t column = ballots.column[i], row = ballots.row[i];
      if (column < 0) continue;
      std::int64_t* at = scratch.votes.data() + static_cast<std::ptrdiff_t>(row) * pitch + column;
      at[0] += ballots.vote[0][i];
      at[1] += ballots.vote[1][i];
      at[pitch] += ballots.vote[2][i];
      at[pitch + 1] += ballots.vote[3][i];
      const int tile = row / kTile * plane.tile_columns + column / kTile;
      mark(tile, scratch);
      const int across = (column + 1) % kTile == 0 ? 1 : 0, down = (row + 1) % kTile == 0 ? plane.tile_columns : 0;
      if ((across | down) != 0) {
        mark(tile + across, scratch);
        mark(tile + down, scratch);
        mark(tile + down + across, scratch);
      }
    }
    ballots.count = 0;
  }

  static void mark(int tile, HoughScratch& scratch) {
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
  float inverse_g_;  // lattice points per input pixel
  float lowest_;     // logit of the vote threshold
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
