"""Prints the tables behind the defaults: average precision and decoding time on real fields, by setting.

Runs BodyPix networks on coco-mini with ONNX Runtime (extra `dev`), once for each output stride, then decodes the fields
with each setting: decoding options, refinements of peaks between lattice points, mask options. Prints Markdown.

    python benchmarks/choose_defaults.py [--data DIR] [--strides 8 16] [--long-edge 641]

With --sets, compares thresholds alone, on other images and with two larger networks (real_fields.py), and counts false
positives:

    python benchmarks/choose_defaults.py --sets coco-mini choose [--cache DIR]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
from real_fields import NETWORKS, load_fields, load_images
from shared import DATA, decode

from personlab import COCO_PERSON, DecodeOptions, Fields, MaskOptions, Poses, decode_masks, stages
from personlab.io.results import mask_results
from personlab.methods.personlab.backends import reference
from personlab.methods.personlab.method import EVERY_POSE
from personlab.metrics.bootstrap import find_matches
from personlab.metrics.coco import average_precision, load_annotations
from personlab.metrics.reliability import judge_poses

THRESHOLDS = {
    "peak_threshold": (0.001, 0.003, 0.01, 0.02, 0.03, 0.05),
    "vote_threshold": (0.01, 0.05, 0.1, 0.2, 0.3),
    "nms_radius": (10.0, 12.5, 15.0, 20.0, 25.0),
    "min_score": (0.05, 0.1, 0.15, 0.2, 0.225, 0.25, 0.3),
}


class ImageFields(NamedTuple):
    image_id: int
    fields: Fields


def load_network(path: Path) -> onnxruntime.InferenceSession:
    """Load a BodyPix network; first makes the padding of dilated convolutions explicit, as ONNX Runtime requires."""
    model = onnx.load(path)
    for node in model.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        dilation = attributes["dilations"].ints[0] if "dilations" in attributes else 1
        if node.op_type == "Conv" and dilation > 1:
            node.attribute.remove(attributes["auto_pad"])
            node.attribute.append(onnx.helper.make_attribute("pads", [dilation] * 4))  # 3x3, stride 1: size kept
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_network(data: Path, stride: int, long_edge: int) -> list[ImageFields]:
    """Return the fields of every image of coco-mini."""
    session = load_network(data / "weights" / f"bodypix-mobilenet-050-stride{stride}.onnx")
    names = ["heatmaps", "short_offsets", "displacement_fwd", "displacement_bwd", "segments", "long_offsets"]
    annotations = load_annotations(str(data / "coco-mini" / "annotations" / "person_keypoints.json"))
    images = []
    for image in annotations.dataset["images"]:
        pixels = cv2.imread(str(data / "coco-mini" / "images" / image["file_name"]))[:, :, ::-1]
        h, w = pixels.shape[:2]
        height, width = (round((side * long_edge / max(h, w) - 1) / stride) * stride + 1 for side in (h, w))
        resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LINEAR)
        feed = {session.get_inputs()[0].name: (resized[None] / np.float32(127.5) - 1).astype(np.float32)}
        outputs = [output[0] for output in session.run(names, feed)]
        images.append(ImageFields(image["id"], Fields.from_tfjs(*outputs, stride=stride, image_size=(w, h))))
    return images


def table(title, *columns):
    print(f"\n{title}\n\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


def compare_decoding(images, annotations, title):
    table(title, "setting", "AP", "AP50", "AP75", "AR", "poses an image", "ms an image")
    rows = [("defaults, every pose kept", EVERY_POSE), ("PoseNet mode", DecodeOptions.posenet(0.1, 20.0, 5, 20))]
    for name, values in {
        "hough_stride": (1, 2, 4, 8),
        "refine_steps": (0, 1, 2, 3, 5, 8),
        "vote_threshold": (0.01, 0.1, 0.2, 0.3, 0.5),
        "peak_threshold": (0.003, 0.01, 0.03),
        "nms_radius": (5.0, 10.0, 15.0, 20.0),
        "scoring": ("expected_oks", "heatmap"),
        "min_score": (0.0, 0.02, 0.05, 0.1, 0.15, 0.2),
    }.items():
        rows += [(f"{name} = {value}", replace(EVERY_POSE, **{name: value})) for value in values]
    for name, options in rows:
        results, times, poses = [], [], 0
        for image_id, fields in images:
            start = time.perf_counter()
            decoded = decode(fields, options)
            times.append(time.perf_counter() - start)
            results += decoded.scaled(*fields.image_scale).to_coco(image_id)
            poses += len(decoded)
        p = average_precision(annotations, results, "keypoints")
        print(
            f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {p.recall:.3f} | {poses / len(images):.1f} | "
            f"{1e3 * float(np.median(times)):.2f} |",
            flush=True,
        )


def move_peaks(hough, peaks, method, fields, g):
    """Move peaks off the lattice: by a parabola over three scores along each axis, or by short offsets."""
    positions = peaks.positions.astype(np.float64)
    for n, k in enumerate(peaks.keypoints):
        if method == "parabola":
            column, row = (peaks.positions[n] / g).astype(int)
            for axis, (di, dj) in enumerate(((0, 1), (1, 0))):
                if not (di <= row < hough.shape[1] - di and dj <= column < hough.shape[2] - dj):
                    continue
                low, high = hough[k, row - di, column - dj], hough[k, row + di, column + dj]
                bend = low - 2 * hough[k, row, column] + high
                if bend < 0:
                    positions[n, axis] += g * np.clip((low - high) / (2 * bend), -0.5, 0.5)
        else:
            x, y = positions[n]
            for _ in range(2):
                dx, dy = reference.sample_offset(fields.short_offsets[k], x, y, fields.stride)
                width, height = fields.input_size
                x, y = np.clip(x + dx, 0, width - 1), np.clip(y + dy, 0, height - 1)
            positions[n] = x, y
    return peaks._replace(positions=positions.astype(np.float32))


def compare_peaks(images, annotations, title):
    table(title, "hough_stride", "on the lattice", "parabola", "two short offsets")
    for g in (1, 2, 4, 8):
        options = replace(EVERY_POSE, hough_stride=g)
        figures = []
        for method in (None, "parabola", "short offsets"):
            results = []
            for image_id, fields in images:
                arrays = {"stride": fields.stride, "options": options}
                hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, **arrays)
                peaks = stages.find_peaks(hough, options=options)
                if method is not None:
                    peaks = move_peaks(hough, peaks, method, fields, g)
                groups = stages.group_poses(peaks, fields.heatmaps, fields.short_offsets, fields.mid_offsets, **arrays)
                ranked = stages.score_poses(groups, hough, options=options)
                poses = Poses(groups.keypoints[ranked.kept], ranked.keypoint_scores, ranked.scores)
                results += poses.scaled(*fields.image_scale).to_coco(image_id)
            figures.append(average_precision(annotations, results, "keypoints").ap)
        print(f"| {g} | " + " | ".join(f"{ap:.3f}" for ap in figures) + " |", flush=True)


def compare_masks(images, annotations, title):
    table(title, "long_refine_steps", "short_refine_steps", "mask AP", "mask AP, exclusive")
    decoded = [decode(fields, EVERY_POSE) for _, fields in images]
    for long_steps, short_steps in ((0, 0), (0, 2), (1, 1), (2, 0), (2, 1), (2, 2), (2, 5), (5, 5)):
        figures = []
        for exclusive in (False, True):
            options = MaskOptions(long_refine_steps=long_steps, short_refine_steps=short_steps, exclusive=exclusive)
            results = []
            for (image_id, fields), poses in zip(images, decoded, strict=True):
                masks = decode_masks(
                    poses, fields.segmentation, fields.long_offsets,
                    short_offsets=fields.short_offsets, stride=fields.stride, size=fields.image_size[::-1],
                    options=options,
                )  # fmt: skip
                results += mask_results(poses, masks, image_id)
            figures.append(average_precision(annotations, results, "segm").ap)
        print(f"| {long_steps} | {short_steps} | " + " | ".join(f"{ap:.3f}" for ap in figures) + " |", flush=True)


def compare_thresholds(network, images, cache, data):
    """Print AP and false positives, a row for each setting, with every pose and with the default min_score."""
    rows = {"every pose": EVERY_POSE, "default": DecodeOptions()}
    for name, values in THRESHOLDS.items():
        for value in values:
            if name != "min_score":
                rows[f"every pose, {name} = {value}"] = replace(EVERY_POSE, **{name: value})
            rows[f"default, {name} = {value}"] = replace(DecodeOptions(), **{name: value})
    results = {name: [] for name in rows}
    for image_id, fields in load_fields(network, images, cache=cache, data=data):
        for name, options in rows.items():
            results[name] += decode(fields, options).scaled(*fields.image_scale).to_coco(image_id)
    columns = ("setting", "AP", "AP50", "AP75", "poses", "false positives", "OKS < 0.3", "duplicates")
    table(f"**{network}, {len(images.paths)} images: thresholds, and poses an image**", *columns)
    sigmas = COCO_PERSON.sigmas
    for name, poses in results.items():
        _, oks, nearest = judge_poses(images.annotations, poses, sigmas=sigmas)
        duplicates = (oks < 0.5) & (nearest >= 0.5)  # of people with a better pose
        p = find_matches(images.annotations, poses, "keypoints", sigmas=sigmas).average_precision()
        numbers = (len(poses), (nearest < 0.5).sum(), (nearest < 0.3).sum(), duplicates.sum())
        counts = [f"{n / len(images.paths):.2f}" for n in numbers]
        print(f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {' | '.join(counts)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--long-edge", type=int, default=641)
    parser.add_argument("--sets", nargs="+", help="coco-mini, choose, show: thresholds alone, on these images")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), help="with --sets")
    parser.add_argument("--cache", type=Path, help="folder of their fields [fields in personlab's cache folder]")
    arguments = parser.parse_args()
    if arguments.sets:
        images = load_images(*arguments.sets, data=arguments.data)
        for network in arguments.networks:
            compare_thresholds(network, images, arguments.cache, arguments.data)
        return
    folder = arguments.data / "coco-mini" / "annotations"
    keypoints = load_annotations(str(folder / "person_keypoints.json"))
    instances = load_annotations(str(folder / "instances.json"))
    for stride in arguments.strides:
        images = run_network(arguments.data, stride, arguments.long_edge)
        network = f"BodyPix 0.50, stride {stride}, longest side {arguments.long_edge}"
        compare_decoding(images, keypoints, f"**{network}: decoding options**")
        compare_peaks(images, keypoints, f"**{network}: keypoint AP by where seeds start**")
        compare_masks(images, instances, f"**{network}: mask options**")


if __name__ == "__main__":
    main()
