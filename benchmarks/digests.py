"""Print the SHA-256 of every result on real fields, to compare two states of the code byte for byte.

python benchmarks/digests.py [--fields DIR] [--output FILE]

One line for each result, file of fields, instruction set and number of threads: poses in three modes, masks, mask
scores, refined offsets and training targets. Two states compute the same where `diff` of their outputs is empty.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import personlab
from personlab import DecodeOptions, MaskOptions, stages

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")
THREADS = (1, 4)
SIZE = (427, 641)  # (H, W) of the masks, pixels


def digest(*arrays: np.ndarray) -> str:
    """SHA-256 of the bytes, shapes and types of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def of_poses(poses: personlab.Poses) -> str:
    return digest(poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores)


def results(fields: personlab.Fields, threads: int) -> dict[str, str]:
    """Digest of each result on the fields of one image."""
    modes = {
        "default": DecodeOptions(threads=threads),
        "paper": DecodeOptions.paper(threads=threads, hough_stride=1),
        "posenet": DecodeOptions.posenet(0.05, threads=threads),
    }
    pose_fields = fields.heatmaps, fields.short_offsets, fields.mid_offsets
    poses = {
        name: personlab.decode_poses(*pose_fields, stride=fields.stride, options=options)
        for name, options in modes.items()
    }
    digests = {f"poses {name}": of_poses(one) for name, one in poses.items()}
    for exclusive in (False, True):
        masks, scores = personlab.decode_masks(
            poses["default"], fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
            stride=fields.stride, size=SIZE, options=MaskOptions(threads=threads, exclusive=exclusive),
            return_scores=True,
        )  # fmt: skip
        digests[f"masks{' exclusive' * exclusive}"] = digest(np.packbits(masks))
        digests[f"mask scores{' exclusive' * exclusive}"] = digest(scores)
    skeleton = personlab.COCO_PERSON
    targets = [edge[1] for edge in skeleton.edges] + [edge[0] for edge in skeleton.edges]
    refined = stages.refine_offsets(
        fields.mid_offsets, fields.short_offsets, targets, stride=fields.stride, steps=2, threads=threads
    )
    digests["refined offsets"] = digest(refined)
    h, w = fields.heatmaps.shape[-2:]
    size = (h - 1) * fields.stride + 1, (w - 1) * fields.stride + 1
    labelled = np.ones((*poses["default"].keypoints.shape[:2], 3), np.float32)
    labelled[..., :2] = poses["default"].keypoints
    encoded = personlab.encode_targets(labelled, None, size=size, stride=fields.stride)
    names = ("heatmaps", "short_offsets", "mid_offsets", "heatmap_valid", "short_valid", "mid_valid")
    digests["targets"] = digest(*(getattr(encoded, name) for name in names))
    return digests


def write_lines(folder: Path) -> None:
    for file, threads in itertools.product(sorted(folder.glob("*.npz")), THREADS):
        for name, value in results(personlab.Fields.load(file), threads).items():
            sys.stdout.write(f"{value}  {os.environ['PERSONLAB_ISA']} threads {threads} {file.stem} {name}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("PERSONLAB_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--fields", type=Path, default=default / "fields", help="folder of fields")
    parser.add_argument("--output", type=Path, help="write the lines here instead of stdout")
    arguments = parser.parse_args()
    if "PERSONLAB_ISA" in os.environ:
        write_lines(arguments.fields)
        return
    command = [sys.executable, __file__, "--fields", str(arguments.fields)]
    lines = "".join(
        subprocess.run(
            command, env={**os.environ, "PERSONLAB_ISA": isa}, check=True, capture_output=True, text=True
        ).stdout
        for isa in INSTRUCTION_SETS
    )
    if arguments.output is None:
        sys.stdout.write(lines)
    else:
        arguments.output.write_text(lines)


if __name__ == "__main__":
    main()
