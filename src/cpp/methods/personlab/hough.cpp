// Hough voting, section 3.1.1: every lattice point inside a keypoint's disc votes, by its short offset, for the
// keypoint.
//
// Lattice points between cells that all lie under the threshold are skipped together; the rest is read a few hundred
// points at a time, never as a plane. Where keypoint types are too few pieces for all threads, each is cut into bands
// of cell rows, with sums of their own that are merged at the end.
#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include "base/parallel.hpp"
#include "base/sampling.hpp"
#include "methods/personlab/stages.hpp"
#include "methods/personlab/vote_unit.hpp"

namespace personlab {
namespace {

constexpr int kMinPieces = 4;  // of a thread, so that none idles for long

// Lattice points along one axis, by the pair of cells around them.
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

// 64 bits of cells in raster order, from cell `from` on.
std::uint64_t bits_from(const std::vector<std::uint64_t>& bits, std::size_t from) {
  const std::size_t word = from / 64, shift = from % 64;
  return shift == 0 ? bits[word] : bits[word] >> shift | bits[word + 1] << (64 - shift);
}

// Rows of field cells, each read together with the one below.
struct Band {
  int first, last;  // half-open
};

// Casts the votes of a keypoint type.
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

  // Rows of cells with lattice points below.
  int rows() const { return std::max(heatmaps_.height - 1, 1); }

  // Sums the votes of a band for keypoint type k on the lattice of a plane.
  void vote(int k, const Band& band, const HoughPlane& plane, double unit, bool wide, HoughWorker& worker,
            VoteSums& sums) const {
    const int w = heatmaps_.width, h = heatmaps_.height;
    const int blocks = std::max(w - 1, 1);
    const std::size_t below = h > 1 ? static_cast<std::size_t>(w) : 0, right = w > 1 ? 1 : 0;
    const std::size_t start = static_cast<std::size_t>(band.first) * w;
    const std::size_t cells = static_cast<std::size_t>(band.last - band.first) * w + below;
    std::vector<std::uint64_t>& high = worker.high;
    sums.reset(plane, wide);
    worker.batch.count = 0;
    if (high.size() < cells / 64 + 3) high.resize(cells / 64 + 3);
    if (!threshold(k, start, cells, high.data())) return;
    const VoteLattice lattice{
        plane.columns,           plane.rows, plane.tile_columns, sums.discard(), 1.0F / static_cast<float>(g_), lowest_,
        static_cast<float>(unit)};
    const Output out{lattice, worker, sums};
    for (int r = band.first; r < band.last; ++r) {
      poll(interrupt_);
      const std::size_t at = static_cast<std::size_t>(r) * w;
      const int top = y_.first[static_cast<std::size_t>(r)], rows = y_.first[static_cast<std::size_t>(r) + 1] - top;
      const CellRow row{{heatmaps_.cell(k, at), short_offsets_.cell(2 * k, at), short_offsets_.cell(2 * k + 1, at)},
                        static_cast<std::ptrdiff_t>(right),
                        static_cast<std::ptrdiff_t>(below),
                        r,
                        top,
                        rows};
      for (int c0 = 0; c0 < blocks; c0 += 64) {
        const std::size_t cell = at - start + static_cast<std::size_t>(c0);
        std::uint64_t active = bits_from(high, cell) | bits_from(high, cell + right) | bits_from(high, cell + below) |
                               bits_from(high, cell + below + right);
        if (blocks - c0 < 64) active &= (std::uint64_t{1} << (blocks - c0)) - 1;
        for (; active != 0; active &= active - 1)
          with_elements(heatmaps_, [&](auto of) { sample_cell(of, row, c0 + lowest_bit(active), out); });
      }
    }
    flush(out);
  }

 private:
  // Where votes are computed and summed.
  struct Output {
    const VoteLattice& lattice;
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

  // Marks those of n cells of type k, from `first` on, that reach the threshold; returns whether any does.
  bool threshold(int k, std::size_t first, std::size_t n, std::uint64_t* high) const {
    return with_elements(heatmaps_, [&](auto of) {
      return kernels_.planes(of).threshold(heatmaps_.plane<decltype(of)>(k) + first, n, lowest_, high);
    });
  }

  // Reads the fields, of elements T, at the lattice points between four cells.
  template <typename T>
  void sample_cell(T, const CellRow& row, int c, const Output& out) const {
    const T* cells[3];
    for (int f = 0; f < 3; ++f) cells[f] = static_cast<const T*>(row.planes[f]) + c;
    const std::ptrdiff_t right = row.right, below = row.below;
    const int left = x_.first[static_cast<std::size_t>(c)], columns = x_.first[static_cast<std::size_t>(c) + 1] - left;
    const int top = row.top, rows = row.rows, r = row.r;
    if (columns * rows <= VoteBatch::kMax) {
      sample_points(cells, right, below, {left, c, columns, top, r, rows}, out);
      return;
    }
    const int across = std::min(columns, VoteBatch::kMax), down = VoteBatch::kMax / across;
    for (int i = 0; i < rows; i += down)
      for (int j = 0; j < columns; j += across)
        sample_points(cells, right, below,
                      {left + j, c, std::min(across, columns - j), top + i, r, std::min(down, rows - i)}, out);
  }

  // Lattice columns from `left` on and rows from `top` on, to the right of cell column c and below cell row r.
  struct Part {
    int left, c, columns, top, r, rows;
  };

  // Reads the fields at some of them.
  template <typename T>
  void sample_points(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below, const Part& part,
                     const Output& out) const {
    HoughWorker& worker = out.worker;
    place(part, worker);
    const CellPoints& points = worker.points;
    if (worker.batch.count + points.count > VoteBatch::kMax) flush(out);
    if (!kernels_.planes(T()).sample(cells, right, below, points, part.left, part.top, lowest_, worker.batch))
      sample_nonfinite(cells, right, below, points, part.left, part.top, worker.batch);
  }

  // Fills worker.points, which on common grids are the same for nearly all cells.
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
    for (auto& weight : points.weight)  // for the rest of the last register
      std::fill(weight + points.count, weight + VoteBatch::kCapacity, 0.0F);
    worker.shape = shape;
  }

  // `PlaneKernels::sample` where a value is not finite: one of weight zero is left out.
  template <typename T>
  static void sample_nonfinite(const T* const cells[3], std::ptrdiff_t right, std::ptrdiff_t below,
                               const CellPoints& points, int column, int row, VoteBatch& batch) {
    float* values[3] = {batch.logit + batch.count, batch.dx + batch.count, batch.dy + batch.count};
    for (int i = 0; i < points.count; ++i) {
      const auto part = [&](float weight, T value) { return weight > 0.0F ? weight * to_float32(value) : 0.0F; };
      for (int f = 0; f < 3; ++f)
        values[f][i] =
            (part(points.weight[0][i], cells[f][0]) + part(points.weight[1][i], cells[f][right])) +
            (part(points.weight[2][i], cells[f][below]) + part(points.weight[3][i], cells[f][below + right]));
      batch.column[batch.count + i] = points.column[i] + column;
      batch.row[batch.count + i] = points.row[i] + row;
    }
    batch.count += points.count;
  }

  // Computes and sums the votes of the batch, and empties it.
  void flush(const Output& out) const {
    VoteBatch& batch = out.worker.batch;
    const std::uint32_t total = kernels_.compute_votes(batch, out.lattice);
    out.sums.add(batch, total);
    batch.count = 0;
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

// Merges the sums of each keypoint type's bands. Three sums a thread are enough: its band's, those that it merges with
// them, and one that is pending, since bands begin in order and so a thread works on each unfinished type.
class BandMerger {
 public:
  BandMerger(int n_keypoints, int bands, int workers, std::vector<VoteSums>& sums)
      : unmerged_(static_cast<std::size_t>(n_keypoints), bands - 1),
        pending_(static_cast<std::size_t>(n_keypoints), nullptr) {
    const auto size = static_cast<std::size_t>(3) * static_cast<std::size_t>(workers);
    if (sums.size() < size) sums.resize(size);
    for (VoteSums& one : sums) free_.push_back(&one);
  }

  VoteSums* acquire() {
    const std::lock_guard<std::mutex> lock(mutex_);
    VoteSums* const sums = free_.back();
    free_.pop_back();
    return sums;
  }

  void release(VoteSums* sums) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(sums);
  }

  // Merges the pending sums of keypoint type k into those of a band. Returns whether that is all of the type; if not,
  // they are pending in turn.
  bool merge(int k, VoteSums* sums) {
    std::unique_lock<std::mutex> lock(mutex_);
    VoteSums*& pending = pending_[static_cast<std::size_t>(k)];
    while (pending != nullptr) {
      VoteSums* const other = std::exchange(pending, nullptr);
      lock.unlock();
      sums->merge(*other);
      lock.lock();
      free_.push_back(other);
      --unmerged_[static_cast<std::size_t>(k)];
    }
    if (unmerged_[static_cast<std::size_t>(k)] == 0) return true;
    pending = sums;
    return false;
  }

 private:
  std::mutex mutex_;
  std::vector<VoteSums*> free_;
  std::vector<int> unmerged_;       // bands of each keypoint type
  std::vector<VoteSums*> pending_;  // of each keypoint type, or null
};

}  // namespace

void HoughPlane::reset(int lattice_rows, int lattice_columns) {
  if (lattice_rows != rows || lattice_columns != columns || slot.empty()) {
    slot.clear();  // so that the next call starts afresh where memory runs out
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
  const int bands =
      options.threads > 1 ? std::min((kMinPieces * options.threads + count - 1) / count, voter.rows()) : 1;
  const auto rows_before = [&](int band) {
    return static_cast<int>(static_cast<std::int64_t>(voter.rows()) * band / bands);
  };
  const int workers = std::max(1, std::min(options.threads, count * bands));
  scratch.workers.resize(static_cast<std::size_t>(workers));
  for (HoughWorker& worker : scratch.workers) worker.shape = {};
  for (HoughPlane& plane : hough) plane.reset(y.points, x.points);
  BandMerger merger(count, bands, workers, scratch.sums);
  parallel_for(count * bands, workers, options.interrupt, [&](int piece, int number) {
    const int k = piece / bands, band = piece % bands;
    HoughPlane& plane = hough[static_cast<std::size_t>(k)];
    HoughWorker& worker = scratch.workers[static_cast<std::size_t>(number)];
    VoteSums* const sums = merger.acquire();
    voter.vote(k, {rows_before(band), rows_before(band + 1)}, plane, worth, unit.wide, worker, *sums);
    if (!merger.merge(k, sums)) return;
    if (!sums->compute_scores(scale / worth, plane)) {
      plane.reset(y.points, x.points);
      voter.vote(k, {0, voter.rows()}, plane, VoteUnit::kWide, true, worker, *sums);
      sums->compute_scores(scale / VoteUnit::kWide, plane);
    }
    merger.release(sums);
  });
}

}  // namespace personlab
