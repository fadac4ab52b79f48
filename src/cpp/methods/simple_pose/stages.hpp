// The contract of decoding for Simple Pose: one declaration per stage, in the order in which data flows through them.
// The NumPy reference computes peaks, connections and bodies with the same float64 operations in the same order, to the
// last bit, which decides where values tie or lie at a threshold: whoever changes one changes the other.
#pragma once

#include <vector>

#include "methods/simple_pose/enlarge.hpp"
#include "methods/simple_pose/maps.hpp"

namespace personlab::simple_pose {

// Memory of joining peaks by the default rules.
struct GroupScratch {
  std::vector<int> owner;       // (N) group of each peak
  std::vector<double> best;     // (N) score of the best connection of each peak
  std::vector<int> slots;       // (N, K) peaks of each group, or -1
  std::vector<double> longest;  // (N) connection of each group, image pixels
  std::vector<double> lowest;   // (N) score of a connection of each group
};

// Two peaks that a limb may join.
struct PeakPair {
  int a, b;
  double length2;  // squared length, image pixels
  double limit;    // length of limbs of a, at most
};

// Memory of decoding one image, kept from call to call.
struct MapScratch {
  struct Worker {
    std::vector<std::uint64_t> bits;
    std::vector<PeakPair> pairs;
    std::vector<double> plane, line;
    std::vector<std::uint8_t> active;
  };
  std::vector<Worker> workers;
  std::vector<Enlargement> enlargements;            // of each view
  std::vector<std::vector<MapPeak>> peaks_of;       // (K)
  std::vector<std::vector<Connection>> candidates;  // (E)
  MapPeaks peaks;
  std::vector<Connection> connections;
  GroupScratch groups;
  std::vector<int> owner;  // body of each peak, or -1
  BodyList bodies;
};

// Peaks of the keypoint maps of an image.
void find_peaks(const MapBatch& image, const MapOptions& options, MapScratch& scratch);

// Connections of every limb: by the originals' rules matched one to one, limb after limb; else all candidates, best
// first.
void score_limbs(const MapBatch& image, const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch);

// Bodies by the rules of the originals.
void assemble_original(const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch);

// Bodies by the best connections of all limbs; drops the connections that nothing comes of.
void assemble(const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch);

// All stages for one image; leaves peaks, connections and the bodies that are kept in the scratch.
void decode_steps(const MapBatch& image, const LimbSkeleton& skeleton, const MapOptions& options, MapScratch& scratch);

// Decodes all images of a batch, whose arguments have been checked.
void decode_batch(const MapBatch& batch, const LimbSkeleton& skeleton, const MapOptions& options,
                  std::vector<MapScratch>& scratch, std::vector<Poses>& poses);

}  // namespace personlab::simple_pose
