// Hough voting: every lattice point inside a keypoint's disc votes, by its short offset, for where the keypoint is.
//
// Work follows the votes. Lattice points between cells that all lie under the threshold are passed over together; the rest
// is read a few hundred points at a time, never as a plane. Where keypoint types alone are too few pieces for all threads, each
// is voted for in bands of cell rows, which have sums of their own until the last of them is done.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

constexpr int kPieces = 4;  // for each thread at least, so that none is left waiting for long

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

// Rows of field cells, each read together with the one below.
struct Band {
  int first, last;  // half-open
};

// Casts one keypoint type's votes.
class Voter {
 public:
  Voter(const Field& heatmaps, const Field& short_offsets, const LatticeAxis& x, const LatticeAxis& y,
        const DecodeOptions& options)
      : heatmaps_(heatmaps),
        short_offsets_(short_offsets),
        x_(x),
        y_(y),
        g_(options.hough_stride),
        interrupt_(options.interrupt) {
    lowest_ = logit_of(options.vote_threshold);
  }

  // Rows of cells that lattice points lie below.
  int rows() const { return std::max(heatmaps_.height - 1, 1); }

  // Sums the votes for keypoints of type k on the lattice of a plane that come from a band.
  void vote(int k, const Band& band, const HoughPlane& plane, double unit, bool wide, HoughWorker& worker,
            VoteSums& sums) const {
    const int w = heatmaps_.width, h = heatmaps_.height;
    const int blocks = std::max(w - 1, 1);
    const std::size_t below = h > 1 ? static_cast<std::size_t>(w) : 0, right = w > 1 ? 1 : 0;
    const std::size_t start = static_cast<std::size_t>(band.first) * w;
    const std::size_t cells = static_cast<std::size_t>(band.last - band.first) * w + below;
    std::vector<std::uint64_t>& high = worker.high;
    sums.reset(plane, wide);
    worker.ballots.count = 0;
    if (high.size() < cells / 64 + 3) high.resize(cells / 64 + 3);
    if (!find(k, start, cells, high.data())) return;
    const VotingLattice lattice{plane.columns, plane.rows, plane.tile_columns, sums.nowhere(),
                                1.0F / static_cast<float>(g_), lowest_, static_cast<float>(unit)};
    const Casting casting{lattice, worker, sums};
    for (int r = band.first; r < band.last; ++r) {
      poll(interrupt_);
      const std::size_t at = static_cast<std::size_t>(r) * w;
      const int top = y_.first[static_cast<std::size_t>(r)], rows = y_.first[static_cast<std::size_t>(r) + 1] - top;
      const CellRow row{{heatmaps_.cell(k, at), short_offsets_.cell(2 * k, at), short_offsets_.cell(2 * k + 1, at)},
                        static_cast<std::ptrdiff_t>(right), static_cast<std::ptrdiff_t>(below), r, top, rows};
      for (int c0 = 0; c0 < blocks; c0 += 64) {
        const std::size_t cell = at - start + static_cast<std::size_t>(c0);
        std::uint64_t active = bits_from(high, cell) | bits_from(high, cell + right) | bits_from(high, cell + below) |
                               bits_from(high, cell + below + right);
        if (blocks - c0 < 64) active &= (std::uint64_t{1} << (blocks - c0)) - 1;
        for (; active != 0; active &= active - 1)
          with_elements(heatmaps_, [&](auto of) { sample_cell(of, row, c0 + lowest_bit(active), casting); });
      }
    }
    cast(casting);
  }

 private:
  // Where votes go, and what they are worked out in.
  struct Casting {
    const VotingLattice& lattice;
    HoughWorker& worker;
    VoteSums& sums;
  };

  // A row of cells and the one below, and the lattice rows between them.
  struct CellRow {
    const void* planes[3];        // at the row's first cell: logit, dx, dy
    std::ptrdiff_t right, below;  // to the next cell
    int r;
    int top, rows;
  };

  // Marks n cells of type k, from one on, that reach the threshold.
  bool find(int k, std::size_t first, std::size_t n, std::uint64_t* high) const {
    return with_elements(heatmaps_, [&](auto of) {
      return kernels_.planes(of).find(heatmaps_.plane<decltype(of)>(k) + first, n, lowest_, high);
    });
  }

  // Reads the fields, of elements T, at the lattice points between four cells.
  template <typename T>
  void sample_cell(T, const CellRow& row, int c, const Casting& casting) const {
    const T* cells[3];
    for (int f = 0; f < 3; ++f) cells[f] = static_cast<const T*>(row.planes[f]) + c;
    const std::ptrdiff_t right = row.right, below = row.below;
    const int left = x_.first[static_cast<std::size_t>(c)], columns = x_.first[static_cast<std::size_t>(c) + 1] - left;
    const int top = row.top, rows = row.rows, r = row.r;
    if (columns * rows <= Ballots::kMost) {
      sample_points(cells, right, below, {left, c, columns, top, r, rows}, casting);
      return;
    }
    const int across = std::min(columns, Ballots::kMost), down = Ballots::kMost / across;
    for (int i = 0; i < rows; i += down)
      for (int j = 0; j < columns; j += across)
        sample_points(cells, right, below,
                      {left + j, c, std::min(across, columns - j), top + i, r, std::min(down, rows - i)}, casting);
  }

  // Lattice columns from `left` on and rows from `top` on, to the right of cell column c and below cell row r.
  struct Part {
    int left, c, columns, top, r, rows;
  };

  // Reads the fields at some of them.
  template <typename T>
  void sample_points(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const Part& part,
                     const Casting& casting) const {
    HoughWorker& worker = casting.worker;
    place(part, worker);
    const CellPoints& points = worker.points;
    if (worker.ballots.count + points.count > Ballots::kMost) cast(casting);
    if (!kernels_.planes(T()).sample(cells, right, below, points, part.left, part.top, lowest_, worker.ballots))
      sample_careful(cells, right, below, points, part.left, part.top, worker.ballots);
  }

  // Prepares worker.points: on common grids the same for nearly all cells.
  void place(const Part& part, HoughWorker& worker) const {
    const std::array<int, 4> shape{part.left * g_ - part.c * heatmaps_.stride, part.columns,
                                   part.top * g_ - part.r * heatmaps_.stride, part.rows};
    if (shape == worker.shape) return;
    CellPoints& points = worker.points;
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
    worker.shape = shape;
  }

  // What `PlaneKernels::sample` does, where a value is not finite: one of weight zero is left out.
  template <typename T>
  static void sample_careful(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below,
                             const CellPoints& points, int column, int row, Ballots& ballots) {
    float* out[3] = {ballots.logit + ballots.count, ballots.dx + ballots.count, ballots.dy + ballots.count};
    for (int i = 0; i < points.count; ++i) {
      const auto part = [&](float weight, T value) { return weight > 0.0F ? weight * to_float32(value) : 0.0F; };
      for (int f = 0; f < 3; ++f)
        out[f][i] = (part(points.weight[0][i], cells[f][0]) + part(points.weight[1][i], cells[f][right])) +
                    (part(points.weight[2][i], cells[f][below]) + part(points.weight[3][i], cells[f][below + right]));
      ballots.column[ballots.count + i] = points.column[i] + column;
      ballots.row[ballots.count + i] = points.row[i] + row;
    }
    ballots.count += points.count;
  }

  void cast(const Casting& casting) const {
    Ballots& ballots = casting.worker.ballots;
    const std::uint32_t total = kernels_.work_out(ballots, casting.lattice);
    casting.sums.add(ballots, total);
    ballots.count = 0;
  }

  const Field& heatmaps_;
  const Field& short_offsets_;
  const LatticeAxis& x_;
  const LatticeAxis& y_;
  int g_;
  Interrupt* interrupt_;
  float lowest_;  // logit of the vote threshold
  const Kernels& kernels_ = kernels();
};

// Brings the sums of each keypoint type's bands together. Three for each thread are enough: two in its hands, those of its band
// and those it merges with them, and one that waits, since bands begin in order and so any type that is not done with has a
// thread at it.
class Count {
 public:
  Count(int n_keypoints, int bands, int workers, std::vector<VoteSums>& sums)
      : missing_(static_cast<std::size_t>(n_keypoints), bands - 1), waiting_(static_cast<std::size_t>(n_keypoints), nullptr) {
    const auto most = static_cast<std::size_t>(3) * static_cast<std::size_t>(workers);
    if (sums.size() < most) sums.resize(most);
    for (VoteSums& one : sums) free_.push_back(&one);
  }

  VoteSums* take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    VoteSums* const sums = free_.back();
    free_.pop_back();
    return sums;
  }

  void give_back(VoteSums* sums) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(sums);
  }

  // Adds what waits of keypoint type k to the sums of a band. True where that is all; if not, they wait in turn.
  bool join(int k, VoteSums* sums) {
    std::unique_lock<std::mutex> lock(mutex_);
    VoteSums*& waiting = waiting_[static_cast<std::size_t>(k)];
    while (waiting != nullptr) {
      VoteSums* const other = std::exchange(waiting, nullptr);
      lock.unlock();
      sums->merge(*other);
      lock.lock();
      free_.push_back(other);
      --missing_[static_cast<std::size_t>(k)];
    }
    if (missing_[static_cast<std::size_t>(k)] == 0) return true;
    waiting = sums;
    return false;
  }

 private:
  std::mutex mutex_;
  std::vector<VoteSums*> free_;
  std::vector<int> missing_;        // bands of each keypoint type that are not yet merged
  std::vector<VoteSums*> waiting_;  // of each keypoint type, or null
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
                std::vector<HoughPlane>& hough, HoughScratch& scratch) {
  const int count = heatmaps.planes;
  hough.resize(static_cast<std::size_t>(count));
  if (count == 0 || heatmaps.cells() == 0) {
    for (HoughPlane& plane : hough) plane.reset(0, 0);
    return;
  }
  const LatticeAxis x(heatmaps.width, heatmaps.stride, options.hough_stride);
  const LatticeAxis y(heatmaps.height, heatmaps.stride, options.hough_stride);
  const Voter voter(heatmaps, short_offsets, x, y, options);
  const double scale = vote_scale(options);
  const VoteUnit unit(options);
  const double worth = unit.wide ? VoteUnit::kWide : unit.packed;
  const int bands = options.threads > 1 ? std::min((kPieces * options.threads + count - 1) / count, voter.rows()) : 1;
  const auto rows_before = [&](int band) {
    return static_cast<int>(static_cast<std::int64_t>(voter.rows()) * band / bands);
  };
  const int workers = std::max(1, std::min(options.threads, count * bands));
  scratch.workers.resize(static_cast<std::size_t>(workers));
  for (HoughWorker& worker : scratch.workers) worker.shape = {};
  for (HoughPlane& plane : hough) plane.reset(y.points, x.points);
  Count votes(count, bands, workers, scratch.sums);
  parallel_for(count * bands, workers, options.interrupt, [&](int piece, int number) {
    const int k = piece / bands, band = piece % bands;
    HoughPlane& plane = hough[static_cast<std::size_t>(k)];
    HoughWorker& worker = scratch.workers[static_cast<std::size_t>(number)];
    VoteSums* const sums = votes.take();
    voter.vote(k, {rows_before(band), rows_before(band + 1)}, plane, worth, unit.wide, worker, *sums);
    if (!votes.join(k, sums)) return;
    if (!sums->collect(scale / worth, plane)) {
      plane.reset(y.points, x.points);
      voter.vote(k, {0, voter.rows()}, plane, VoteUnit::kWide, true, worker, *sums);
      sums->collect(scale / VoteUnit::kWide, plane);
    }
    votes.give_back(sums);
  });
}

}  // namespace personlab
