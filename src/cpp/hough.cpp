// Hough voting: every lattice point inside a keypoint's disc votes, by its short offset, for where the keypoint is.
//
// Work follows the votes. Lattice points between cells that all lie under the threshold are passed over together; the rest
// is read a few hundred points at a time, never as a plane.
#include <algorithm>
#include <cmath>
#include <limits>

#include "parallel.hpp"
#include "sampling.hpp"
#include "stages.hpp"
#include "vote_unit.hpp"

namespace personlab {
namespace {

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

// Bits of cells in raster order, from the one at `from` on.
std::uint64_t bits_from(const std::vector<std::uint64_t>& bits, std::size_t from) {
  const std::size_t word = from / 64, shift = from % 64;
  return shift == 0 ? bits[word] : bits[word] >> shift | bits[word + 1] << (64 - shift);
}

// Casts one keypoint type's votes.
class Voter {
 public:
  Voter(const Field& heatmaps, const Field& short_offsets, const LatticeAxis& x, const LatticeAxis& y,
        const DecodeOptions& options)
      : heatmaps_(heatmaps), short_offsets_(short_offsets), x_(x), y_(y), g_(options.hough_stride) {
    lowest_ = logit_of(options.vote_threshold);
  }

  // Sums the votes for keypoints of type k on the lattice of a plane.
  void vote(int k, const HoughPlane& plane, double unit, bool wide, HoughScratch& scratch) const {
    const int w = heatmaps_.width, h = heatmaps_.height;
    const int blocks = std::max(w - 1, 1);
    const std::size_t below = h > 1 ? static_cast<std::size_t>(w) : 0, right = w > 1 ? 1 : 0;
    std::vector<std::uint64_t>& high = scratch.high;
    scratch.sums.reset(plane, wide);
    scratch.ballots.count = 0;
    if (high.size() < heatmaps_.cells() / 64 + 3) high.resize(heatmaps_.cells() / 64 + 3);
    if (!kernels_.find(heatmaps_.plane(k), heatmaps_.cells(), lowest_, high.data())) return;
    const VotingLattice lattice{plane.columns, plane.rows, plane.tile_columns, scratch.sums.nowhere(),
                                1.0F / static_cast<float>(g_), lowest_, static_cast<float>(unit)};
    for (int r = 0; r < std::max(h - 1, 1); ++r) {
      const std::size_t start = static_cast<std::size_t>(r) * w;
      const int top = y_.first[static_cast<std::size_t>(r)], rows = y_.first[static_cast<std::size_t>(r) + 1] - top;
      const CellRow row{{heatmaps_.plane(k) + start, short_offsets_.plane(2 * k) + start,
                         short_offsets_.plane(2 * k + 1) + start},
                        static_cast<std::ptrdiff_t>(right), static_cast<std::ptrdiff_t>(below), r, top, rows};
      for (int c0 = 0; c0 < blocks; c0 += 64) {
        const std::size_t cell = start + static_cast<std::size_t>(c0);
        std::uint64_t active = bits_from(high, cell) | bits_from(high, cell + right) | bits_from(high, cell + below) |
                               bits_from(high, cell + below + right);
        if (blocks - c0 < 64) active &= (std::uint64_t{1} << (blocks - c0)) - 1;
        for (; active != 0; active &= active - 1) sample_cell(row, c0 + lowest_bit(active), lattice, scratch);
      }
    }
    cast(lattice, scratch);
  }

 private:
  // A row of cells and the one below, and the lattice rows between them.
  struct CellRow {
    const float* planes[3];       // at the row's first cell: logit, dx, dy
    std::ptrdiff_t right, below;  // to the next cell
    int r;
    int top, rows;
  };

  // Reads the fields at the lattice points between four cells.
  void sample_cell(const CellRow& row, int c, const VotingLattice& lattice, HoughScratch& scratch) const {
    const float* const cells[3] = {row.planes[0] + c, row.planes[1] + c, row.planes[2] + c};
    const std::ptrdiff_t right = row.right, below = row.below;
    const int left = x_.first[static_cast<std::size_t>(c)], columns = x_.first[static_cast<std::size_t>(c) + 1] - left;
    const int top = row.top, rows = row.rows, r = row.r;
    if (columns * rows <= Ballots::kMost) {
      sample_points(cells, right, below, {left, c, columns, top, r, rows}, lattice, scratch);
      return;
    }
    const int across = std::min(columns, Ballots::kMost), down = Ballots::kMost / across;
    for (int i = 0; i < rows; i += down)
      for (int j = 0; j < columns; j += across)
        sample_points(cells, right, below,
                      {left + j, c, std::min(across, columns - j), top + i, r, std::min(down, rows - i)}, lattice, scratch);
  }

  // Lattice columns from `left` on and rows from `top` on, to the right of cell column c and below cell row r.
  struct Part {
    int left, c, columns, top, r, rows;
  };

  // Reads the fields at some of them.
  void sample_points(const float* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const Part& part,
                     const VotingLattice& lattice, HoughScratch& scratch) const {
    place(part, scratch);
    const CellPoints& points = scratch.points;
    if (scratch.ballots.count + points.count > Ballots::kMost) cast(lattice, scratch);
    if (!kernels_.sample(cells, right, below, points, part.left, part.top, lowest_, scratch.ballots))
      sample_careful(cells, right, below, points, part.left, part.top, scratch.ballots);
  }

  // Prepares scratch.points: on common grids the same for nearly all cells.
  void place(const Part& part, HoughScratch& scratch) const {
    const std::array<int, 4> shape{part.left * g_ - part.c * heatmaps_.stride, part.columns,
                                   part.top * g_ - part.r * heatmaps_.stride, part.rows};
    if (shape == scratch.shape) return;
    CellPoints& points = scratch.points;
    points.count = 0;
    for (int i = 0; i < part.rows; ++i) {
      const float ty = y_.t[static_cast<std::size_t>(part.top + i)], sy = 1.0F - ty;
      for (int j = 0; j < part.columns; ++j) {
        const float tx = x_.t[static_cast<std::size_t>(part.left + j)], sx = 1.0F - tx;
        const float weights[4] = {sy * sx, sy * tx, ty * sx, ty * tx};
        for (int f = 0; f < 4; ++f) points.weight[f][points.count] = weights[f];
        points.row[points.count] = i;
        points.column[points.count++] = j;
      }
    }
    for (auto& weight : points.weight)  // for what the last register holds besides
      std::fill(weight + points.count, weight + Ballots::kRoom, 0.0F);
    scratch.shape = shape;
  }

  // What `Kernels::sample` does, where a value is not finite: one of weight zero is left out.
  static void sample_careful(const float* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below,
                             const CellPoints& points, int column, int row, Ballots& ballots) {
    float* out[3] = {ballots.logit + ballots.count, ballots.dx + ballots.count, ballots.dy + ballots.count};
    for (int i = 0; i < points.count; ++i) {
      const auto part = [&](float weight, float value) { return weight > 0.0F ? weight * value : 0.0F; };
      for (int f = 0; f < 3; ++f)
        out[f][i] = (part(points.weight[0][i], cells[f][0]) + part(points.weight[1][i], cells[f][right])) +
                    (part(points.weight[2][i], cells[f][below]) + part(points.weight[3][i], cells[f][below + right]));
      ballots.column[ballots.count + i] = points.column[i] + column;
      ballots.row[ballots.count + i] = points.row[i] + row;
    }
    ballots.count += points.count;
  }

  void cast(const VotingLattice& lattice, HoughScratch& scratch) const {
    const std::uint32_t total = kernels_.work_out(scratch.ballots, lattice);
    scratch.sums.add(scratch.ballots, total);
    scratch.ballots.count = 0;
  }

  const Field& heatmaps_;
  const Field& short_offsets_;
  const LatticeAxis& x_;
  const LatticeAxis& y_;
  int g_;
  float lowest_;  // logit of the vote threshold
  const Kernels& kernels_ = kernels();
};

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
  highest.clear();
}

float* HoughPlane::add(int tile) {
  touched.push_back(tile);
  highest.push_back(std::numeric_limits<float>::infinity());
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
  const double scale = vote_scale(options);
  const VoteUnit unit(options);
  scratch.resize(static_cast<std::size_t>(std::max(1, std::min(options.threads, count))));
  for (HoughScratch& own : scratch) own.shape = {};
  parallel_for(count, options.threads, [&](int k, int worker) {
    HoughPlane& plane = hough[static_cast<std::size_t>(k)];
    HoughScratch& own = scratch[static_cast<std::size_t>(worker)];
    plane.reset(y.points, x.points);
    if (!unit.wide) {
      voter.vote(k, plane, unit.packed, false, own);
      if (own.sums.collect(scale / unit.packed, plane)) return;
      plane.reset(y.points, x.points);
    }
    voter.vote(k, plane, VoteUnit::kWide, true, own);
    own.sums.collect(scale / VoteUnit::kWide, plane);
  });
}

}  // namespace personlab
