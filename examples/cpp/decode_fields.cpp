// Decodes fields that dump_fields.py wrote: prints each person, and writes poses and masks to a file.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <personlab/decoder.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using personlab::Field;

// A file of six 32-bit integers, then float32 fields one after the other, all in this machine's byte order.
struct Dump {
  std::int32_t images, height, width, stride;  // the grid of the fields
  std::int32_t image_height, image_width;      // for the masks, pixels
  std::vector<float> heatmaps, short_offsets, mid_offsets, segmentation, long_offsets;
};

Dump read_dump(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  Dump dump;
  for (std::int32_t* number :
       {&dump.images, &dump.height, &dump.width, &dump.stride, &dump.image_height, &dump.image_width})
    file.read(reinterpret_cast<char*>(number), sizeof *number);
  if (dump.images < 0 || dump.height < 0 || dump.width < 0) throw std::runtime_error(path + ": expected counts >= 0");
  const std::size_t cells = static_cast<std::size_t>(dump.height) * static_cast<std::size_t>(dump.width);
  const auto read = [&](std::vector<float>& values, std::size_t planes) {
    values.resize(static_cast<std::size_t>(dump.images) * planes * cells);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  };
  const personlab::Skeleton& skeleton = personlab::coco_person();
  const std::size_t k = static_cast<std::size_t>(skeleton.n_keypoints),
                    e = static_cast<std::size_t>(skeleton.n_edges());
  read(dump.heatmaps, k);
  read(dump.short_offsets, 2 * k);
  read(dump.mid_offsets, 4 * e);
  read(dump.segmentation, 1);
  read(dump.long_offsets, 2 * k);
  return dump;
}

template <typename Value>
void write(std::ofstream& file, const std::vector<Value>& values) {
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(Value)));
}

void write(std::ofstream& file, const std::vector<personlab::Poses>& images) {
  for (const personlab::Poses& poses : images) {
    write(file, poses.keypoints);
    write(file, poses.keypoint_scores);
    write(file, poses.keypoint_probabilities);
    write(file, poses.scores);
  }
}

void run(const std::string& input, const std::string& output) {
  const Dump dump = read_dump(input);
  const auto view = [&](const std::vector<float>& values, int planes) {
    return Field{values.data(), planes, dump.height, dump.width, dump.stride};
  };
  const personlab::Skeleton& skeleton = personlab::coco_person();
  const int k = skeleton.n_keypoints, e = skeleton.n_edges();
  const personlab::PoseFields pose_fields{dump.images, view(dump.heatmaps, k), view(dump.short_offsets, 2 * k),
                                          view(dump.mid_offsets, 4 * e)};
  const personlab::MaskFields mask_fields{dump.images, view(dump.segmentation, 1), view(dump.long_offsets, 2 * k),
                                          view(dump.short_offsets, 2 * k)};

  personlab::Decoder decoder;  // keeps its memory: make one, and decode many images with it
  personlab::DecodeOptions options;
  options.threads = 2;
  const std::vector<personlab::Poses> people = decoder.decode_poses(pose_fields, options);
  const std::vector<personlab::Masks> masks =
      decoder.decode_masks(people, mask_fields, {dump.image_height, dump.image_width});
  const std::vector<personlab::Poses> posenet = decoder.decode_poses(pose_fields, personlab::DecodeOptions::posenet());

  for (std::size_t n = 0; n < people.size(); ++n) {
    const std::size_t size =
        people[n].count > 0 ? masks[n].pixels.size() / static_cast<std::size_t>(people[n].count) : 0;
    for (std::size_t j = 0; j < people[n].scores.size(); ++j) {
      const float* nose = people[n].keypoints.data() + j * 2 * static_cast<std::size_t>(k);
      int pixels = 0;
      for (std::size_t i = j * size; i < (j + 1) * size; ++i) pixels += masks[n].pixels[i];
      std::printf("image %zu: score %.3f, nose at (%.1f, %.1f), mask of %d pixels\n", n, people[n].scores[j], nose[0],
                  nose[1], pixels);
    }
    std::printf("image %zu: %d people, %d by PoseNet's decoder\n", n, people[n].count, posenet[n].count);
  }

  std::ofstream file(output, std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  write(file, people);
  write(file, posenet);
  for (const personlab::Masks& one : masks) {
    write(file, one.pixels);
    write(file, one.scores);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: %s FIELDS RESULTS\n", arguments[0]);
    return 2;
  }
  try {
    run(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
