"""Measures the gain of ranking, scoring and sharpening: keypoint and mask AP of two networks, with intervals.

Computes the networks' fields for coco-mini and one half of coco-people if the cache lacks them (real_fields.py),
decodes them with several options and prints Markdown. Differences are over all images together, with a 95 % interval
from a paired bootstrap over images.

    python benchmarks/ranking.py [--data DIR] [--cache DIR] [--resamples 1000] [--sets coco-mini show]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_fields import NETWORKS, load_fields, load_images
from shared import DATA, decode

from personlab import COCO_PERSON, DecodeOptions, decode_masks
from personlab.io.results import mask_results
from personlab.methods.personlab.method import EVERY_POSE
from personlab.metrics.bootstrap import bootstrap, differences, find_matches, resample_images

OLD = "paper's scheme, every pose"
SYSTEMS = {
    OLD: DecodeOptions.paper(min_score=0),
    "paper's scheme, min_score 0.2": DecodeOptions.paper(),
    "Google's decoder, threshold 0.05": DecodeOptions.posenet(0.05),
    "K1 + K2, every pose": DecodeOptions.paper(min_score=0, ranking="seed", instance_score="rms"),
    "K1 + K2 + K3, every pose": DecodeOptions.paper(min_score=0, ranking="seed", instance_score="rms", sharpen=4.0),
    "default, every pose": EVERY_POSE,
    "default": DecodeOptions(),
}
MASKED = (OLD, "K1 + K2, every pose", "default, every pose", "default")


def masks_of(fields, poses, image_id):
    """Return mask results twice: with the scores of the poses, and with those of the masks (M1)."""
    masks, scores = decode_masks(
        poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=fields.stride,
        size=fields.image_size[::-1], return_scores=True,
    )  # fmt: skip
    return mask_results(poses, masks, image_id), mask_results(poses, masks, image_id, scores=scores)


def decode_all(network, images, outlined, arguments):
    """Return {system: {kind: results}}."""
    results = {name: {"keypoints": [], "plain": [], "M1": []} for name in SYSTEMS}
    for image_id, fields in load_fields(network, images, cache=arguments.cache, data=arguments.data):
        for name, options in SYSTEMS.items():
            poses = decode(fields, options)
            results[name]["keypoints"] += poses.scaled(*fields.image_scale).to_coco(image_id)
            if name in MASKED and fields.segmentation is not None and image_id in outlined.imgs:
                plain, scored = masks_of(fields, poses, image_id)
                results[name]["plain"] += plain
                results[name]["M1"] += scored
    return results


class Judged:
    """AP of results on all images, on each set, and on resampled images."""

    def __init__(self, annotations, results, kind, images, resamples):
        matches = find_matches(annotations, results, kind, sigmas=COCO_PERSON.sigmas)
        numbers = matches.image_ids.tolist()
        self.summary = matches.average_precision()
        self.resampled = bootstrap(matches, resample_images(len(numbers), resamples=resamples))
        self.of_sets = {
            name: matches.average_precision(np.array([images.sets[n] == name for n in numbers], float)).ap
            for name in dict.fromkeys(images.sets.values())
        }
        self.poses = len(results) / len(numbers)

    def against(self, other):
        return differences((self.summary, self.resampled), (other.summary, other.resampled))


def print_table(title, rows, base):
    """Print a line for each of {name: Judged}, with gains over `base`."""
    sets = list(rows[base].of_sets)
    header = ["decoder", "AP", "AP50", "AP75", "gain in AP", "gain in AP75", *(f"AP, {s}" for s in sets), "an image"]
    print(f"\n**{title}**\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for name, judged in rows.items():
        gains = judged.against(rows[base])
        s = judged.summary
        cells = [f"{s.ap:.3f}", f"{s.ap50:.3f}", f"{s.ap75:.3f}"]
        cells += ["", ""] if name == base else [str(gains["ap"]), str(gains["ap75"])]
        cells += [f"{judged.of_sets[one]:.3f}" for one in sets] + [f"{judged.poses:.1f}"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, help="folder of the fields [fields in personlab's cache folder]")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--sets", nargs="+", default=["coco-mini", "show"], help="coco-mini, choose, show")
    arguments = parser.parse_args()
    images = load_images(*arguments.sets, data=arguments.data)
    outlined = images.with_outlines()
    for network in NETWORKS:
        decoded = decode_all(network, images, outlined, arguments)

        def judge(annotations, results, kind):
            return Judged(annotations, results, kind, images, arguments.resamples)

        rows = {name: judge(images.annotations, kinds["keypoints"], "keypoints") for name, kinds in decoded.items()}
        print_table(f"{network}: keypoints, {len(images.paths)} images", rows, OLD)
        kept = rows["default"].against(rows["default, every pose"])["ap"]
        print(f"\nThe default minus every pose: {kept}")
        if not decoded[OLD]["plain"]:
            continue
        rows = {
            f"{name}, {words}": judge(outlined, decoded[name][kind], "segm")
            for name in MASKED
            for kind, words in (("plain", "scored as the pose"), ("M1", "M1"))
        }
        print_table(f"{network}: masks, {len(outlined.imgs)} images", rows, f"{OLD}, scored as the pose")


if __name__ == "__main__":
    main()
