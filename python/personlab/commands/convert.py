"""`personlab convert`: a published network as a checkpoint of ours."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from personlab.io.console import log

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "write a published network as a checkpoint (safetensors)"
USAGE = "SRC DST [options]"
DESCRIPTION = (
    "Write a published network as a checkpoint: a tfjs graph model of PoseNet or BodyPix, float or quantised, or an "
    "ONNX file of BodyPix. Print what the network is."
)


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "src", type=str, metavar="SRC",
        help="a tfjs model (its JSON, or the folder with it), an .onnx file, or the name of a published network, such "
        "as bodypix-mobilenet-075, which is downloaded",
    )  # fmt: skip
    parser.add_argument("dst", type=str, metavar="DST", help="the .safetensors file to write")
    parser.add_argument(
        "--stride", type=int, choices=(8, 16), help="output stride that the checkpoint starts at [the source's]"
    )


def run(config: Any) -> None:
    """Convert a network and print what it is.

    Raises:
        ValueError: the source is no such network.
    """
    from personlab import weights

    found = weights.convert(config.src, config.dst, stride=config.stride)
    model = weights.load_checkpoint(config.dst).model
    heads = ", ".join(name for name, _ in model.heads.named_children())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    rows = [
        ["backbone", found.backbone],
        ["width", f"{found.width:g}"],
        ["stride", str(found.stride)],
        ["keypoints", str(found.skeleton.n_keypoints)],
        ["heads", heads],
        ["input", str(found.normalization)],
        ["parameters", f"{parameters:,}"],
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")
    log(f"wrote {config.dst}")
