"""The table that decides DecodeOptions' defaults: keypoint AP and decoding time on real fields, setting by setting.

Runs the BodyPix networks over coco-mini through ONNX Runtime (extra `dev`), once for each output stride, then decodes those
fields under each setting in turn. Prints Markdown.

    python benchmarks/choose_defaults.py [--data DIR] [--strides 8 16] [--long-edge 641]
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime

import personlab
from personlab.evaluate import average_precision, load_annotations

DATA = Path(os.environ.get("PERSONLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


class Picture(NamedTuple):
    image_id: int
    fields: personlab.Fields


def load_network(path: Path) -> onnxruntime.InferenceSession:
    """A BodyPix network; ONNX Runtime wants the padding of dilated convolutions spelled out, so that is done first."""
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


def run_network(data: Path, stride: int, long_edge: int) -> list[Picture]:
    """Fields of every picture of coco-mini."""
    session = load_network(data / "weights" / f"bodypix-mobilenet-050-stride{stride}.onnx")
    wanted = ["heatmaps", "short_offsets", "displacement_fwd", "displacement_bwd", "segments", "long_offsets"]
    annotations = load_annotations(str(data / "coco-mini" / "annotations" / "person_keypoints.json"))
    pictures = []
    for image in annotations.dataset["images"]:
        pixels = cv2.imread(str(data / "coco-mini" / "images" / image["file_name"]))[:, :, ::-1]
        h, w = pixels.shape[:2]
        height, width = (round((side * long_edge / max(h, w) - 1) / stride) * stride + 1 for side in (h, w))
        resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LINEAR)
        feed = {session.get_inputs()[0].name: (resized[None] / np.float32(127.5) - 1).astype(np.float32)}
        outputs = [output[0] for output in session.run(wanted, feed)]
        fields = personlab.Fields.from_tfjs(*outputs, stride=stride, image_size=(w, h))
        pictures.append(Picture(image["id"], fields))
    return pictures


def decode(picture: Picture, options: personlab.DecodeOptions) -> personlab.Poses:
    fields = picture.fields
    return personlab.decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride, options=options
    )


def settings(base: personlab.DecodeOptions) -> list[tuple[str, personlab.DecodeOptions]]:
    rows = [("defaults", base), ("Google's decoder", personlab.DecodeOptions.posenet(0.1, 20.0, 5, 20))]
    variants: dict[str, tuple[object, ...]] = {
        "hough_stride": (1, 2, 4, 8),
        "refine_steps": (0, 1, 2, 3, 5, 8),
        "vote_threshold": (0.01, 0.1, 0.2, 0.3, 0.5),
        "peak_threshold": (0.003, 0.01, 0.03),
        "nms_radius": (5.0, 10.0, 15.0, 20.0),
        "scoring": ("expected_oks", "heatmap"),
        "min_score": (0.0, 0.02, 0.05, 0.1, 0.2),
    }
    for name, values in variants.items():
        rows += [(f"{name} = {value}", replace(base, **{name: value})) for value in values]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--strides", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--long-edge", type=int, default=641)
    arguments = parser.parse_args()
    annotations = load_annotations(str(arguments.data / "coco-mini" / "annotations" / "person_keypoints.json"))
    for stride in arguments.strides:
        pictures = run_network(arguments.data, stride, arguments.long_edge)
        print(
            f"\nBodyPix 0.50, stride {stride}, longest side {arguments.long_edge}; defaults {asdict(personlab.DecodeOptions())}\n"
        )
        print("| setting | AP | AP50 | AP75 | AR | poses | ms a picture |")
        print("|---|---|---|---|---|---|---|")
        for name, options in settings(personlab.DecodeOptions()):
            results, times, poses = [], [], 0
            for picture in pictures:
                start = time.perf_counter()
                found = decode(picture, options)
                times.append(time.perf_counter() - start)
                results += found.scaled(*picture.fields.image_scale).to_coco(picture.image_id)
                poses += len(found)
            p = average_precision(annotations, results, "keypoints")
            print(
                f"| {name} | {p.ap:.3f} | {p.ap50:.3f} | {p.ap75:.3f} | {p.recall:.3f} | {poses / len(pictures):.1f} | "
                f"{1e3 * float(np.median(times)):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
