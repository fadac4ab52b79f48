// The contract of the top-down method (Simple Baselines, ECCV 2018): one declaration per stage, in the order in which
// data flows through them. The NumPy reference computes the same in float64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/interrupt.hpp"
#include "personlab/types.hpp"

namespace personlab::simple_baseline {

// --- crops -----------------------------------------------------------------------------------------------------------

// An image of 3 bytes a pixel, read where it lies.
struct ImageView {
  const std::uint8_t* pixels;  // (H, W, 3), rows `row_bytes` apart
  std::ptrdiff_t row_bytes;
  ImageSize size;
};

// Where crops are written: one of the two.
struct CropView {
  std::uint8_t* bytes;  // (N, h, w, 3), rounded, or null
  float* planes;        // (N, 3, h, w) 0 .. 255, or null
  ImageSize size;       // (h, w) of each crop
};

struct CropOptions {
  bool original = false;  // positions in 32nds of a pixel, as OpenCV 4's warpAffine has them; else in 65536ths
  int threads = 1;
  Interrupt* interrupt = nullptr;  // or null
};

// Reads `count` crops out of one image, bilinearly; 0 outside of it. `affines` (N, 2, 3) lead from pixels (x, y) of the
// image to those of the crop; finite and invertible.
void crop_image(const ImageView& image, const double* affines, int count, const CropOptions& options,
                const CropView& crops);

// --- training targets ------------------------------------------------------------------------------------------------

// Whose rules: this library's, TF-SimpleHumanPose's or human-pose-estimation.pytorch's.
enum class Rules : std::uint8_t { kDefault, kTensorFlow, kPyTorch };

struct TargetOptions {
  double sigma = 2.0;       // of a keypoint's Gaussian, cells
  double full_value = 1.0;  // at its centre
  Rules rules = Rules::kDefault;
  int threads = 1;
  Interrupt* interrupt = nullptr;  // or null
};

// The cells of a heatmap; cell (i, j) lies at pixel (x = j * stride, y = i * stride) of the crop.
struct TargetGrid {
  int height, width, stride;
};

// Draws `count` keypoints (x, y, v), crop pixels, labelled where v > 0, each into a map of its own, and writes how much
// that map counts: 1 or 0.
void encode_targets(const double* keypoints, int count, const TargetGrid& grid, const TargetOptions& options,
                    float* maps, float* weights);

// --- decoding --------------------------------------------------------------------------------------------------------

enum class Position : std::uint8_t { kParabola, kDark, kQuarter, kCell };
enum class Rescoring : std::uint8_t { kConfident, kMean, kBox };

// The options and defaults of Python's SimpleBaselineOptions.
struct BaselineOptions {
  Position position = Position::kParabola;
  double blur = 2.0;        // sigma of DARK's Gaussian, cells
  double full_value = 1.0;  // of a map where a keypoint surely lies
  int flip_shift = 1;       // columns by which maps of mirrored crops are moved to the right
  Rescoring rescoring = Rescoring::kConfident;
  double keypoint_threshold = 0.2;  // values up to it do not count in a pose's score
  double oks_threshold = 0.9;       // poses more similar than this to a better one are dropped; 1: none
  Rules rules = Rules::kDefault;
  int threads = 1;
  Interrupt* interrupt = nullptr;  // or null
};

// The highest place of a map.
struct MapPeak {
  double x, y;  // cells
  float value;  // 0 where no cell is finite
};

// Memory of one thread.
struct PeakScratch {
  std::vector<float> merged, line;  // (h w), (w)
};

// Finds the peak of each of K maps of each of `people` (N, K, h, w); `mirrored`, likewise, are those of mirrored crops,
// or null: mirrored back, exchanged by `flip` (K) and moved, they are averaged with the others. Writes peaks (N, K).
void find_peaks(const Field& maps, int people, const void* mirrored, const int* flip, const BaselineOptions& options,
                std::vector<PeakScratch>& scratch, MapPeak* peaks);

// The score of a pose, from those of its keypoints (K) and of its box.
double rescore(const double* values, int n_keypoints, double box_score, const BaselineOptions& options);

// Decodes one image: people (N) whose crops `affines` (N, 2, 3) lead to, each cell `stride` (x, y) pixels of a crop;
// `box_scores` (N). Poses are best first; without suppression all are kept, in the order of their boxes.
void decode_people(const Field& maps, int people, const void* mirrored, const int* flip, const double* affines,
                   const double* box_scores, ImageSize crop, const std::vector<double>& sigmas,
                   const BaselineOptions& options, std::vector<PeakScratch>& scratch, Poses& poses);

// --- non-maximum suppression -----------------------------------------------------------------------------------------

// Poses of one image.
struct PoseList {
  const double* keypoints;  // (P, K, 3) x, y in pixels, and how visible
  const double* scores;     // (P); poses without a finite score are dropped
  const double* areas;      // (P) of their boxes, square pixels
  int count, n_keypoints;
};

struct OksOptions {
  double threshold = 0.9;          // poses more similar than this to a better one are dropped
  bool visible_alone = false;      // whether keypoints count only where they are visible
  double visible_threshold = 0;    // by more than this
  bool original = false;           // of equal scores the later first; the visibility of the second pose alone counts
  Interrupt* interrupt = nullptr;  // or null
};

// COCO's object keypoint similarity of poses i and j, on the mean of their areas. A keypoint that is not finite is
// like no other.
double similarity(const PoseList& poses, int i, int j, const double* sigmas, const OksOptions& options);

// The numbers of the poses that are kept, best first.
std::vector<int> suppress_poses(const PoseList& poses, const double* sigmas, const OksOptions& options);

enum class BoxRules : std::uint8_t { kDefault, kPython, kCython };

// The numbers of the boxes (N, 4) x0, y0, x1, y1 that are kept, best first: those that overlap no better one by more
// than the threshold; by Cython's rules, by as much. The originals' boxes are a pixel larger each way, and of equal
// scores the later comes first.
std::vector<int> suppress_boxes(const double* boxes, const double* scores, int count, double threshold, BoxRules rules,
                                Interrupt* interrupt);

}  // namespace personlab::simple_baseline
