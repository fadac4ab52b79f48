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
constexpr int kTileShift = 4;
static_assert(1 << kTileShift == kTile);
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
        if (nothing != 0.0F) {
          sample_careful(corner, tx + done, ty, some, ballots);
        } else if (some == 4) {
          sample_row<4>(corner, tx + done, ty, some, ballots);
        } else if (some == 8) {
          sample_row<8>(corner, tx + done, ty, some, ballots);
        } else {
          sample_row<0>(corner, tx + done, ty, some, ballots);
        }
        for (int i = 0; i < some; ++i) {
          ballots.column[ballots.count + i] = first + done + i;
          ballots.row[ballots.count + i] = row;
        }
        ballots.count += some;
      }
    }
  }

  // One row of n lattice points between four finite cells; kCount is n where that is known early, as it is on common grids.
  template <int kCount>
  static void sample_row(const float corner[3][4], const float* tx, float ty, int n, Ballots& ballots) {
    const float sy = 1.0F - ty;
    float* out[3] = {ballots.logit + ballots.count, ballots.dx + ballots.count, ballots.dy + ballots.count};
    const int count = kCount > 0 ? kCount : n;
    for (int f = 0; f < 3; ++f) {
      const float left = sy * corner[f][0] + ty * corner[f][2], right = sy * corner[f][1] + ty * corner[f][3];
      float* __restrict to = out[f];
      for (int i = 0; i < count; ++i) to[i] = (1.0F - tx[i]) * left + tx[i] * right;
    }
  }

  // The same where a value is not finite.
  static void sample_careful(const float corner[3][4], const float* tx, float ty, int n, Ballots& ballots) {
    float* out[3] = {ballots.logit + ballots.count, ballots.dx + ballots.count, ballots.dy + ballots.count};
    for (int f = 0; f < 3; ++f)
      for (int i = 0; i < n; ++i)
        out[f][i] = lerp2(corner[f][0], corner[f][1], corner[f][2], corner[f][3], tx[i], ty);
  }

  // Adds the collected votes to the sums.
  void cast(const HoughPlane& plane, HoughScratch& scratch) const {
    Ballots& ballots = scratch.ballots;
    const std::int32_t tiles = plane.tile_rows * plane.tile_columns;
    const std::int32_t pitch = plane.tile_columns * kTile;
    kernels().work_out(ballots, inverse_g_, lowest_,
                       {plane.columns, plane.rows, pitch, kTileShift, plane.tile_columns,
                        tiles * HoughPlane::kTilePoints, tiles});
    std::int64_t* const sums = scratch.votes.data();
    std::uint8_t* const marked = scratch.marked.data();
    for (int i = 0; i < ballots.count; ++i) {
      std::int64_t* const upper = sums + ballots.at[i];
      std::int64_t* const lower = upper + pitch;
      upper[0] += ballots.vote[0][i];
      upper[1] += ballots.vote[1][i];
      lower[0] += ballots.vote[2][i];
      lower[1] += ballots.vote[3][i];
      const std::int32_t tile = ballots.tile[i];
      marked[tile] = 1;
      if (ballots.edge[i] != 0) mark_around(tile, ballots.at[i], pitch, plane, marked);
    }
    ballots.count = 0;
  }

  // Marks the tiles of the three sums beside, below and across from the first, which lies in `tile`.
  static void mark_around(std::int32_t tile, std::int32_t at, std::int32_t pitch, const HoughPlane& plane,
                          std::uint8_t* marked) {
    const int across = (at % pitch + 1) % kTile == 0 ? 1 : 0;
    const int down = (at / pitch + 1) % kTile == 0 ? plane.tile_columns : 0;
    marked[tile + across] = marked[tile + down] = marked[tile + across + down] = 1;
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
  const std::int32_t tiles = plane.tile_rows * plane.tile_columns;
  for (std::int32_t tile = 0; tile < tiles; ++tile) {
    if (scratch.marked[static_cast<std::size_t>(tile)] == 0) continue;
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
  // What was sent nowhere.
  std::int64_t* const nowhere = scratch.votes.data() + static_cast<std::ptrdiff_t>(tiles) * HoughPlane::kTilePoints;
  nowhere[0] = nowhere[1] = nowhere[pitch] = nowhere[pitch + 1] = 0;
  scratch.marked[static_cast<std::size_t>(tiles)] = 0;
}

}  // namespace

void HoughPlane::reset(int lattice_rows, int lattice_columns) {
  if (lattice_rows != rows || lattice_columns != columns || slot.empty()) {
    slot.clear();  // so that the next call starts afresh should there be no memory for this one
    rows = lattice_rows;
    columns = lattice_columns;
    tile_rows = (rows + 2 + kTile - 1) / kTile;
    tile_columns = (columns + 2 + kTile - 1) / kTile;
    slot.assign(static_cast<std::size_t>(tile_rows) * tile_columns, -1);
  } else {
    for (const std::int32_t tile : touched) slot[static_cast<std::size_t>(tile)] = -1;
  }
  touched.clear();
}

float* HoughPlane::add(int tile) {
  touched.push_back(tile);
  slot[static_cast<std::size_t>(tile)] = static_cast<std::int32_t>(touched.size()) - 1;
  if (scores.size() < touched.size() * kTilePoints) scores.resize(touched.size() * kTilePoints);
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
    // One tile and two rows more than the lattice has, for votes that do not count.
    const std::size_t tiles = static_cast<std::size_t>(plane.tile_rows) * plane.tile_columns;
    const std::size_t sums = tiles * HoughPlane::kTilePoints + 2 * static_cast<std::size_t>(plane.tile_columns) * kTile;
    if (own.marked.size() < tiles + 1) own.marked.resize(tiles + 1, 0);
    if (own.votes.size() < sums) own.votes.resize(sums, 0);
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
