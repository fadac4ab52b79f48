"""`personlab convert`: a published network as a checkpoint of this package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, get_args

from personlab.commands.flags import UsageError
from personlab.io.console import log
from personlab.methods import DEFAULT_METHOD, METHODS
from personlab.nn.config import Style
from personlab.skeleton import COCO_PERSON, MPII_PERSON, POSETRACK_PERSON

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "write a published or trained network as a checkpoint (safetensors)"
USAGE = "SRC DST [options]"
DESCRIPTION = (
    "Write a network as a checkpoint: a tfjs graph model of PoseNet or BodyPix, float or quantised, an ONNX file of "
    "BodyPix, the weights of Simple Pose or Simple Baselines as torch.save wrote them, of which tensors alone are "
    "read, or a checkpoint. Print a description of the network."
)


_SKELETONS = {"coco": COCO_PERSON, "mpii": MPII_PERSON, "posetrack": POSETRACK_PERSON}
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norm: no parameters


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "src", type=str, metavar="SRC",
        help="tfjs model (its JSON file or folder), .onnx file of BodyPix, .pth file of Simple Pose or Simple "
        "Baselines, or name of a published network, such as bodypix-mobilenet-075, which is downloaded; or a "
        "checkpoint",
    )  # fmt: skip
    parser.add_argument("dst", type=str, metavar="DST", help=".safetensors file to write")
    parser.add_argument("--method", choices=tuple(METHODS), help="method of the network [the one whose file SRC is]")
    parser.add_argument(
        "--stride", type=int, choices=(8, 16), help="output stride of the checkpoint, input pixels [the source's]"
    )
    parser.add_argument(
        "--mean-with", type=str, nargs="+", metavar="SRC",
        help="more networks: write the mean of all, of runs that had the same start; one named twice counts twice",
    )  # fmt: skip
    parser.add_argument("--float16", action="store_true", help="write the weights in 16 bits, half the size")

    group = parser.add_argument_group("what weights of Simple Baselines do not tell")
    group.add_argument(
        "--style", choices=get_args(Style),
        help="of the bottlenecks of a ResNet: the stride at the 3x3 or at the first 1x1 convolution [pytorch]",
    )  # fmt: skip
    group.add_argument(
        "--skeleton", choices=tuple(_SKELETONS), help="keypoints [coco if there are 17, mpii if there are 16]"
    )
    group.add_argument(
        "--input-size", type=int, nargs=2, metavar=("H", "W"),
        help="of the crops, pixels [as in the name of the file, else 256 192, for mpii 256 256]",
    )  # fmt: skip


def _changes(config: Any) -> dict[str, Any]:
    """Return the fields of the network's configuration that flags set."""
    asked = {"style": config.style, "skeleton": _SKELETONS.get(config.skeleton), "input_size": config.input_size}
    return {name: value for name, value in asked.items() if value is not None}


def run(config: Any) -> None:
    """Convert a network and print its description.

    Raises:
        UsageError: a flag without effect on the network.
        ValueError: the source is another kind of file or network.
    """
    from personlab import weights

    changes = _changes(config)
    try:
        made = weights.convert(
            config.src, config.dst, stride=config.stride, method=config.method, mean_with=config.mean_with or (),
            float16=config.float16, changes=changes,
        )  # fmt: skip
    except weights.UnknownChange as error:
        flag = f"--{str(error.args[0]).replace('_', '-')}"
        raise UsageError(f"{flag}: has no effect on a network of {error.args[1]}") from None
    stored = weights.load_stored(config.dst)
    heads = ", ".join(stored.method.outputs(bool(getattr(made, "masks", False))))
    parameters = sum(array.size for name, array in stored.weights.state.items() if not name.endswith(_STATISTICS))
    rows = [
        *([["method", made.method]] if made.method != DEFAULT_METHOD else []),
        ["backbone", made.backbone],
        ["width", f"{made.width:g}"],
        ["stride", str(made.stride)],
        ["keypoints", str(made.skeleton.n_keypoints)],
        ["heads", heads],
        ["input", str(made.normalization or "0..1")],
        ["parameters", f"{parameters:,}"],
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name:<{width}}  {value}\n")
    log(f"wrote {config.dst}")
