"""What the commands that run a network share: flags, the predictor they make, and how its mishaps read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError, add_options, with_given
from personlab.io.console import log
from personlab.options import DecodeOptions, MaskOptions
from personlab.settings import DRAWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonargparse import ArgumentParser

    from personlab.io.sources import Source
    from personlab.predict import Predictor

STAGES = ("read", "resize", "network", "decode", "masks", "draw", "write", "fields")  # in the order of the tables


def add_network(parser: ArgumentParser) -> None:
    """Flags for the network and what it is shown."""
    from jsonargparse.typing import PositiveFloat, PositiveInt

    group = parser.add_argument_group("network")
    group.add_argument(
        "--weights", type=str, metavar="W",
        help="the network: a .safetensors file, a tfjs model (its JSON or folder), an .onnx file of BodyPix, or a "
        "network's name, such as bodypix-mobilenet-075",
    )  # fmt: skip
    group.add_argument("--device", type=str, metavar="NAME", help="where it runs [cuda where there is any, else cpu]")
    group.add_argument(
        "--stride", type=PositiveInt, metavar="N",
        help="of its output, input pixels [that which it was scored at, else its own]",
    )  # fmt: skip
    group.add_argument(
        "--long-edge", type=PositiveInt, metavar="N",
        help="longest side of its input, pixels [that which it was scored at, else 641]",
    )  # fmt: skip
    group.add_argument(
        "--scales", type=PositiveFloat, nargs="+", metavar="X",
        help="show it each image at these multiples of --long-edge and merge what it says [1]",
    )  # fmt: skip
    group.add_argument("--flip", action="store_true", help="show it each image's mirror image, too")
    group.add_argument("--batch-size", type=PositiveInt, default=1, metavar="N", help="most images in one run of it")
    group.add_argument("--autocast", action="store_true", help="compute in 16 bits where PyTorch deems it safe")
    group.add_argument(
        "--max-pixels", type=PositiveInt, default=4096 * 4096, metavar="N",
        help="largest input, pixels: a larger one is made smaller, with a warning",
    )  # fmt: skip
    group.add_argument("--threads", type=PositiveInt, default=None, metavar="N", help="threads that decode an image")


def add_min_keypoint(parser: ArgumentParser) -> None:
    """The flag --min-keypoint."""
    from jsonargparse.typing import ClosedUnitInterval

    parser.add_argument(
        "--min-keypoint", type=ClosedUnitInterval, default=0.2, metavar="P",
        help="draw no keypoint of a lower probability, nor a limb that ends there",
    )  # fmt: skip


def check_weights(weights: str | None) -> None:
    """Refuse a command line without a network.

    Raises:
        UsageError: it has none; names those that need no file.
    """
    if not weights:
        raise UsageError(f"--weights: expected {known_weights()}; got none")


def known_weights() -> str:
    """What --weights takes, for messages."""
    from personlab.weights import known_names

    return f"a network's file or one of these names: {', '.join(known_names())}"


def add_decoding(parser: ArgumentParser, options: DecodeOptions, posenet: DecodeOptions) -> None:
    """Flags for the decoder, whose defaults are those of `options` or, with --posenet, of `posenet`."""
    changed = ", ".join(
        f"{name} {getattr(posenet, name):g}"
        for name in ("nms_radius", "refine_steps", "min_score", "max_poses")
        if getattr(posenet, name) != getattr(options, name)
    )
    parser.add_argument(
        "--posenet", action="store_true",
        help="decode as Google's PoseNet does: keypoint scores are probabilities, nms_radius, refine_steps, min_score, "
        f"max_poses and threads alone have an effect, and other defaults are {changed}",
    )  # fmt: skip
    add_options(parser, "decoding", "decode", options, leave_out="decoder")
    add_options(parser, "masks", "mask", MaskOptions())


def decode_options(config: Any, options: DecodeOptions, posenet: DecodeOptions) -> tuple[DecodeOptions, MaskOptions]:
    """What the decoder's flags ask for, on top of `options` or, with --posenet, of `posenet`.

    Raises:
        UsageError: a value out of range, or a flag for masks beside a flag --masks that is not given.
    """
    useless = [name for name, value in vars(config.mask).items() if value is not None]
    if useless and not getattr(config, "masks", True):
        raise UsageError(f"--mask.{useless[0]}: has no effect without --masks")
    base, masks = posenet if config.posenet else options, MaskOptions()
    threads = getattr(config, "threads", None)
    if threads is not None:
        base, masks = dataclasses.replace(base, threads=threads), dataclasses.replace(masks, threads=threads)
    return with_given(base, config.decode), with_given(masks, config.mask)


def make_predictor(config: Any, options: DecodeOptions, mask_options: MaskOptions, **more: Any) -> Predictor:
    """The predictor that the flags ask for; `more` goes before them.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `Predictor` raises them.
    """
    from personlab.predict import Predictor

    asked: dict[str, Any] = {
        "device": config.device,
        "stride": config.stride,
        "long_edge": config.long_edge,
        "scales": config.scales or (1.0,),
        "flip": config.flip,
        "batch_size": config.batch_size,
        "autocast": config.autocast,
        "max_pixels": config.max_pixels,
        "options": options,
        "mask_options": mask_options,
        "disk_radius": config.decode.disk_radius,
    }
    return Predictor(more.pop("weights", config.weights), **{**asked, **more})


def warn_of_photographs(weights: str, predictor: Predictor, sources: Iterable[Source]) -> None:
    """Tell once that a network knows drawn people alone, where it is shown others."""
    from personlab.io.sources import is_drawn
    from personlab.weights import known_names

    if predictor.settings.domain == DRAWN and not all(map(is_drawn, sources)):
        photographs = next(name for name in known_names() if name.startswith("bodypix"))
        log(f"warning: {weights} knows drawn people alone: for photographs take --weights {photographs} or another")


def described(scales: Any, flip: bool) -> str:
    """A setting in the words of the tables."""
    several = [] if tuple(scales) == (1.0,) else [f"scales {' '.join(f'{scale:g}' for scale in scales)}"]
    return " + ".join([*several, *(["flip"] if flip else [])]) or "single scale"


def time_rows(times: Mapping[str, float], count: int) -> list[list[str]]:
    """Stage, ms an image, and seconds in all, for a table."""
    return [[s, f"{times[s] / max(count, 1):.2f}", f"{times[s] / 1e3:.2f}"] for s in STAGES if s in times]
