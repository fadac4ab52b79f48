"""`personlab export`: a network for other runtimes, in full or lower precision, and what that costs in precision."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError
from personlab.io.console import describe_failure, log, write_table
from personlab.io.files import check_folder, real_path, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.methods import Method
    from personlab.metrics.coco import Precision

SUMMARY = "write a network for other runtimes (ONNX, torch.export)"
USAGE = "WEIGHTS DST [options]"
DESCRIPTION = (
    "Write a network as ONNX or as a program of torch.export, with all that prediction needs to know of it: "
    "`--weights DST` predicts from an .onnx file as from WEIGHTS. With --annotations and --images, print COCO's "
    "average precision of the float32 network and of the file."
)
_PRECISIONS = ("float32", "float16", "int8")
_MAX_PIXELS = 4096 * 4096  # of a fixed input, as `predict --max-pixels`
_CALIBRATION_IMAGES = 64
_LONG_EDGE = 641  # unless the user or the network says another
_ENDINGS = (".onnx", ".pt2")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import PositiveInt

    parser.add_argument(
        "weights", type=str, metavar="WEIGHTS",
        help="network: a .safetensors file, a tfjs model (its JSON or folder), an .onnx file of BodyPix, or a name",
    )  # fmt: skip
    parser.add_argument("dst", type=str, metavar="DST", help="file to write, .onnx or .pt2")
    parser.add_argument(
        "--stride", type=PositiveInt, metavar="N",
        help="output stride, input pixels [the one that the network was scored at, else its own]",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=PositiveInt, nargs=2, metavar=("H", "W"),
        help="size of the input, pixels, one image at a time [any size and number]",
    )  # fmt: skip
    parser.add_argument(
        "--precision", type=str, choices=_PRECISIONS, default="float32",
        help="float16 halves an .onnx file and suits GPUs; int8 is statically quantised, by --calibrate. Heads stay "
        "float32",
    )  # fmt: skip
    group = parser.add_argument_group("calibration of int8")
    group.add_argument("--calibrate", type=str, metavar="DIR", help="folder with images like those to predict")
    group.add_argument(
        "--calibrate-number", type=PositiveInt, default=_CALIBRATION_IMAGES, metavar="N",
        help="max number of its images, evenly chosen by name",
    )  # fmt: skip
    group.add_argument(
        "--long-edge", type=PositiveInt, metavar="N",
        help="longest side of the network input, pixels, in calibration and scoring [the one that the network was "
        "scored at, else 641]",
    )  # fmt: skip
    group = parser.add_argument_group("average precision before and after")
    group.add_argument("--annotations", type=str, metavar="FILE", help="COCO's person_keypoints JSON")
    group.add_argument("--images", type=str, metavar="DIR", help="folder with the images that the annotations name")


def run(config: Any) -> None:
    """Export a network, and score it if asked for.

    Raises:
        UsageError: flags that do not go together.
        OSError, ValueError: the network, an image or the annotations cannot be read, or the file not be written.
    """
    kind = _check(config)
    check_folder(config.dst)
    if kind == ".pt2":
        content, before = _program(config), b""
    else:
        before = _onnx(config)
        content = _reduced(config, before)
    write_whole(config.dst, content)
    log(f"wrote {config.dst}, {len(content) / 2**20:.1f} MiB")
    if config.annotations:
        _score(config, before)


def _check(config: Any) -> str:
    """Check flags against each other and return the ending of the file.

    Raises:
        UsageError: they do not go together.
    """
    kind = Path(config.dst).suffix.lower()
    if kind not in _ENDINGS:
        raise UsageError(f"DST: expected a file name that ends in {' or '.join(_ENDINGS)}, got {config.dst}")
    if kind == ".pt2" and config.precision != "float32":
        raise UsageError(f"--precision: expected float32 for a .pt2 file, got {config.precision}")
    if kind == ".pt2" and config.annotations:
        raise UsageError("--annotations: has no effect on a .pt2 file")
    if (config.precision == "int8") != bool(config.calibrate):
        wanted = "the folder of --calibrate with --precision int8, and with it alone"
        raise UsageError(f"--calibrate: expected {wanted}, got {config.calibrate or 'none'}")
    if bool(config.annotations) != bool(config.images):
        raise UsageError("--annotations and --images: expected both or neither, got one")
    if config.size and config.annotations:
        raise UsageError("--annotations: expected a file for images of any size, got --size")
    for name in ("calibrate", "images"):
        folder = getattr(config, name)
        if folder and not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    if real_path(config.dst) == real_path(config.weights):
        raise UsageError(f"{config.dst} would be written over, which is the network")
    return kind


def _onnx(config: Any) -> bytes:
    """Return the network as ONNX in float32: without torch where its method can, else by torch's exporter."""
    from personlab.weights.exports import as_onnx

    return as_onnx(config.weights, stride=config.stride, size=_size_wh(config))


def _program(config: Any) -> bytes:
    from personlab.weights.exports import as_program

    return as_program(config.weights, stride=config.stride, size=_size_wh(config))


def _size_wh(config: Any) -> tuple[int, int] | None:
    if not config.size:
        return None
    height, width = config.size
    if height * width > _MAX_PIXELS:
        raise UsageError(f"--size: expected at most {_MAX_PIXELS} pixels, got {height} x {width}")
    return width, height


def _reduced(config: Any, content: bytes) -> bytes:
    if config.precision == "float32":
        return content
    from personlab.weights.quantize import to_float16, to_int8

    if config.precision == "float16":
        return to_float16(content)
    images = read_calibration(
        content, config.calibrate, number=config.calibrate_number, long_edge=config.long_edge, size=_size_wh(config)
    )
    return to_int8(content, images)


def read_calibration(
    content: bytes,
    folder: str | os.PathLike[str],
    *,
    number: int = _CALIBRATION_IMAGES,
    long_edge: int | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield images of a folder as a network is shown them, (1, H, W, 3).

    Args:
        content: of the network's exported file.
        folder: with images, and other files.
        number: max number of images, evenly chosen by name.
        long_edge: longest side of the input, pixels; None: the one that the network was scored at, else 641.
        size: (W, H) of the input, where it is fixed.
    """
    from personlab.io.images import read_image
    from personlab.io.resize import resize
    from personlab.io.sources import find_sources
    from personlab.methods.base import InputOptions, Setup
    from personlab.predict.exported import read_facts

    facts = read_facts(content)
    assert facts is not None
    method: Method = facts.method
    edge = long_edge or facts.settings.long_edge or _LONG_EDGE
    inputs = InputOptions(long_edge=edge)
    setup = Setup(config=facts.config, settings=facts.settings, inputs=inputs, options=method.options())
    names = sorted(source.name for source in find_sources([os.fspath(folder)])[0] if source.kind == "image")
    step = max(len(names) / number, 1.0)
    chosen = [names[int(i * step)] for i in range(min(len(names), number))]
    log(f"calibrating with {len(chosen)} of {len(names)} images, longest side {max(size) if size else edge} pixels")
    for name in chosen:
        try:
            image = read_image(name)
        except (OSError, ValueError) as error:
            log(f"skipped {describe_failure(name, error)}")
            continue
        yield from [resize(image, size)[None]] if size else method.prepare(image, setup, []).views


def _score(config: Any, before: bytes) -> None:
    """Print average precision of the float32 network and of the file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "before.onnx"
        path.write_bytes(before)
        columns = {"float32": _precision(config, path)}
    if config.precision != "float32":
        columns[config.precision] = _precision(config, Path(config.dst))
    labels = [f"{kind} {name}" for kind in columns["float32"] for name in ("AP", "AP50", "AP75", "AR")]
    rows = []
    for label in labels:
        kind, _, name = label.partition(" ")
        member = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AR": "recall"}[name]
        rows.append([label, *(f"{getattr(scores[kind], member):.3f}" for scores in columns.values())])
    write_table(["", *columns], rows, sys.stdout)


def _precision(config: Any, path: Path) -> dict[str, Precision]:
    from personlab.data.annotations import read_annotations
    from personlab.io.console import progress_bar
    from personlab.metrics.coco import index_for_scoring
    from personlab.predict import Predictor
    from personlab.predict.dataset import predict_dataset, score_results
    from personlab.predict.exported import read_facts

    facts = read_facts(path.read_bytes())
    assert facts is not None
    predictor = Predictor(
        path, engine="onnxruntime", precision="float32", long_edge=config.long_edge, options=facts.method.every_pose
    )
    category = predictor.settings.category or "person"
    annotations = index_for_scoring(
        read_annotations(config.annotations, category).of_skeleton(predictor.skeleton),
        bool(predictor.settings.labelled_only),
    )
    with progress_bar(len(annotations.imgs), path.name) as bar:
        results = predict_dataset(predictor, annotations, config.images, progress=bar.update)
    for name, error in results.problems.items():
        log(f"skipped {describe_failure(str(Path(config.images) / name), error)}")
    return score_results(annotations, results, predictor.skeleton, category=category, masks=predictor.masks)
