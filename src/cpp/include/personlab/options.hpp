// How decoding is done: the same options and defaults as in Python.
#pragma once

namespace personlab {

class Interrupt;

// How keypoints become poses (PersonLab, section 3.1).
struct DecodeOptions {
  enum class Scoring { kExpectedOks, kHeatmap };
  enum class Ranking { kSeed, kMean };
  enum class InstanceScore { kRms, kMean };
  enum class Decoder { kPersonlab, kPosenet };

  int hough_stride = 2;                     // g, input pixels between neighbouring Hough lattice points; 1 .. 1024
  float disk_radius = 32.0F;                // R, input pixels; 1e-3 .. 4096
  float vote_threshold = 0.1F;              // probability under which a lattice point casts no vote; 0 .. 1
  float peak_threshold = 0.02F;             // Hough score under which a local maximum is no seed; >= 1e-9
  float nms_radius = 15.0F;                 // input pixels: two keypoints of one type this near are one
  int refine_steps = 5;                     // short-offset refinements of each keypoint; 0 .. 1000
  Scoring scoring = Scoring::kExpectedOks;  // keypoint score: Expected-OKS (the paper), or the heatmap's probability
  Ranking ranking = Ranking::kSeed;  // order of soft NMS: that of the seeds, or of mean keypoint scores (the paper)
  InstanceScore instance_score = InstanceScore::kRms;  // of the free keypoint scores; kMean is the paper
  float sharpen = 4.0F;    // sigma of the final mean shift, input pixels; 0 (the paper) turns it off; 0 .. 1024
  float min_score = 0.2F;  // instance score under which a pose is dropped; 0 .. 1
  int max_poses = 100;     // poses kept, best first
  int threads = 1;         // that share the work of one call, the caller's among them; 1 .. 1024
  Decoder decoder = Decoder::kPersonlab;  // the paper's, or that of Google's PoseNet
  Interrupt* interrupt = nullptr;         // asked during long calls, on the CPU; or null

  bool is_posenet() const { return decoder == Decoder::kPosenet; }
  bool uses_oks() const { return scoring == Scoring::kExpectedOks; }
  bool ranks_by_mean() const { return ranking == Ranking::kMean; }
  bool scores_by_mean() const { return instance_score == InstanceScore::kMean; }

  // Returns the options of the paper's own scoring: ranked and scored by mean, keypoints not sharpened.
  static DecodeOptions paper() {
    DecodeOptions options;
    options.peak_threshold = 0.01F;
    options.nms_radius = 10.0F;
    options.ranking = Ranking::kMean;
    options.instance_score = InstanceScore::kMean;
    options.sharpen = 0.0F;
    return options;
  }

  // Returns options under which decoding equals the published PoseNet decoder number for number.
  static DecodeOptions posenet(float score_threshold = 0.5F) {
    DecodeOptions options;
    options.decoder = Decoder::kPosenet;
    options.scoring = Scoring::kHeatmap;
    options.ranking = Ranking::kMean;
    options.instance_score = InstanceScore::kMean;
    options.sharpen = 0.0F;
    options.min_score = score_threshold;
    options.nms_radius = 20.0F;
    options.max_poses = 20;
    return options;
  }
};

// How pixels are assigned to poses (PersonLab, section 3.2).
struct MaskOptions {
  float mask_threshold = 0.5F;       // person probability under which a pixel is background; 0 .. 1
  float distance_threshold = 0.25F;  // D_j(x) up to which a pixel is pose j's, in units of the pose's size
  int long_refine_steps = 2;         // refinements of a long offset by the long offsets; 0 .. 1000
  int short_refine_steps = 2;        // refinements after that by the short offsets; 0 .. 1000
  bool exclusive = false;            // a pose yields a pixel to a nearer pose of a higher score
  float score_power = 3.0F;          // of the mean person probability in mask scores; 0 .. 100
  int threads = 1;                   // that share the work of one call, the caller's among them; 1 .. 1024
  Interrupt* interrupt = nullptr;    // asked during long calls, on the CPU; or null
};

}  // namespace personlab
