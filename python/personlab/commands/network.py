"""What the commands that run a network share: its flags, and the predictor that they make."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from personlab.commands.boxes import make_finder
from personlab.commands.flags import UsageError, add_options, apply_flags, choices_of
from personlab.io.console import log
from personlab.methods import DEFAULT_METHOD, METHODS, get_method
from personlab.options import DecodeOptions, MaskOptions
from personlab.predict.engines import ENGINES, PRECISIONS
from personlab.settings import DRAWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonargparse import ArgumentParser

    from personlab.io.sources import Source
    from personlab.methods import Method
    from personlab.predict import Predictor

STAGES = (
    "read",
    "resize",
    "network",
    "decode",
    "masks",
    "track",
    "draw",
    "write",
    "fields",
)  # in the order of the tables


def add_network(parser: ArgumentParser, default: str = "") -> None:
    """Add the flags of the network and its input.

    Args:
        parser: gets the flags.
        default: what the command does without --weights, for the help.
    """
    from jsonargparse import ActionYesNo
    from jsonargparse.typing import PositiveFloat, PositiveInt

    group = parser.add_argument_group("network")
    group.add_argument(
        "--weights", type=str, metavar="W",
        help="network: a .safetensors file, a tfjs model (its JSON file or folder), an .onnx file that this library "
        "exported or one of BodyPix, or a name such as people-mobilenet-075" + (f" [{default}]" if default else ""),
    )  # fmt: skip
    group.add_argument(
        "--engine", type=str, choices=("auto", *ENGINES), default="auto",
        help="what runs the network; auto: torch on a GPU, else the first of openvino, onnxruntime and torch that is "
        "installed; the others than torch run an exported file, which is made once and kept beside the weights",
    )  # fmt: skip
    group.add_argument(
        "--precision", type=str, choices=("auto", *PRECISIONS), default="auto",
        help="what it computes in; auto: bfloat16 where processor and engine compute it natively, else float32, also "
        "beside the whole numbers of quantised files; `personlab evaluate`: float32",
    )  # fmt: skip
    group.add_argument(
        "--device", type=str, metavar="NAME", help="device that runs the network [cuda if available, else cpu]"
    )
    group.add_argument(
        "--stride", type=PositiveInt, metavar="N",
        help="output stride, input pixels [the one that the network was scored at, else its own]",
    )  # fmt: skip
    group.add_argument(
        "--long-edge", type=PositiveInt, metavar="N",
        help="longest side of the network input, pixels [the one that the network was scored at, else 641]",
    )  # fmt: skip
    group.add_argument(
        "--scales", type=PositiveFloat, nargs="+", metavar="X",
        help="run the network on each image at these multiples of --long-edge, and merge the outputs [1]",
    )  # fmt: skip
    group.add_argument("--flip", action="store_true", help="also run the network on each image mirrored, and merge")
    group.add_argument("--batch-size", type=PositiveInt, default=1, metavar="N", help="max number of images in one run")
    group.add_argument(
        "--autocast", action="store_true", help="run by torch, in 16 bits where PyTorch considers it safe"
    )
    group.add_argument(
        "--max-pixels", type=PositiveInt, default=4096 * 4096, metavar="N",
        help="max size of the network input, pixels; larger ones are scaled down, with a warning",
    )  # fmt: skip
    group.add_argument(
        "--reduced-reading", action=ActionYesNo(no_prefix="no-"), default=True,
        help="decode JPEG files that are at least twice as large as the network input at a fraction of their size",
    )  # fmt: skip
    group.add_argument(
        "--threads",
        type=PositiveInt,
        default=None,
        metavar="N",
        help="threads that decode one image [1]",
    )


def add_min_keypoint(parser: ArgumentParser) -> None:
    """Add the flag --min-keypoint."""
    from jsonargparse.typing import ClosedUnitInterval

    parser.add_argument(
        "--min-keypoint", type=ClosedUnitInterval, default=0.2, metavar="P",
        help="min probability of the keypoints that are drawn, and of both ends of a limb",
    )  # fmt: skip


def fill_in_weights(config: Any) -> None:
    """Take the network of the package for photographs where the command line has none.

    Raises:
        UsageError: the method has no such network; the message names those that need no file.
    """
    from personlab.weights import default_name

    config.weights = config.weights or default_name(config.method or DEFAULT_METHOD)
    if not config.weights:
        raise UsageError(f"--weights: expected {describe_weights()}; got none")


def describe_weights() -> str:
    """Describe what --weights takes, for messages."""
    from personlab.weights import known_names

    return f"a network's file or one of these names: {', '.join(known_names())}"


def add_decoding(parser: ArgumentParser, options: DecodeOptions, posenet: DecodeOptions) -> None:
    """Add the flags of the decoder, whose defaults are those of `options` or, with --posenet, of `posenet`."""
    changed = ", ".join(
        f"{name} {getattr(posenet, name):g}"
        for name in ("nms_radius", "refine_steps", "min_score", "max_poses")
        if getattr(posenet, name) != getattr(options, name)
    )
    parser.add_argument(
        "--posenet", action="store_true",
        help="decode as Google's PoseNet does: keypoint scores are probabilities; of the flags below, only nms_radius, "
        f"refine_steps, min_score, max_poses and threads have an effect; the defaults change to {changed}",
    )  # fmt: skip
    add_options(parser, "decoding", "decode", options, leave_out="decoder")
    add_options(parser, "masks", "mask", MaskOptions())


def add_method(group: Any, what: str) -> None:
    """Add the flag --method, of what the default method is for."""
    group.add_argument("--method", choices=tuple(METHODS), help=f"method {what} [{DEFAULT_METHOD}]")


def add_other_decoding(parser: ArgumentParser, options: DecodeOptions, what: str | None = None) -> None:
    """Add the flags of other methods' decoders; those that `options` has, too, are there already.

    Args:
        parser: gets the flags, in groups of their own.
        options: of the default method.
        what: what --method is of; None where a network says its own.
    """
    group = parser.add_argument_group("method")
    if what is None:
        group.add_argument(
            "--method", choices=tuple(METHODS),
            help="refuse the network of another method [any: a network says its own]",
        )  # fmt: skip
    else:
        add_method(group, what)
    others = {name: get_method(name) for name in METHODS if name != DEFAULT_METHOD}
    presets = {preset: name for name, method in others.items() for preset in method.presets}
    group.add_argument(
        "--preset", choices=tuple(presets),
        help="decode as an original program does, number for number, changed by the flags below: "
        + ", ".join(f"{preset} ({name})" for preset, name in presets.items()),
    )  # fmt: skip
    defaults = {name: method.options() for name, method in others.items()}
    choices: dict[str, dict[str, None]] = {}  # of a flag, in all methods together
    for own in defaults.values():
        for field, values in choices_of(own).items():
            choices.setdefault(field, {}).update(dict.fromkeys(values))
    taken = _names(options)
    for name, own in defaults.items():
        shared = [field for field in _names(own) if field in taken]
        title = f"decoding, for {name}" + (f" (and above: {', '.join(shared)})" if shared else "")
        add_options(parser, title, "decode", own, leave_out=tuple(taken), choices=choices)
        taken += _names(own)


def _names(options: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(options)]


def _asked(config: Any) -> dict[str, Any]:
    """Return the flags of decoding that are set."""
    return {name: value for name, value in vars(config.decode).items() if value is not None}


def required(method: Method, entry: str, what: str) -> Any:
    """Return an entry of a method's record.

    Raises:
        UsageError: the method has none; the message says `what`.
    """
    value = getattr(method, entry)
    if value is None:
        raise UsageError(f"--method: expected a method with {what}, got {method.name}")
    return value


def method_options(config: Any, method: Method, options: Any, *, every_pose: bool = False) -> tuple[Any, Any]:
    """Return a method's options of decoding and of masks: `options`, or those of --posenet or --preset, and the flags.

    Args:
        config: the flags.
        method: whose options they are.
        options: without flags.
        every_pose: whether those of --posenet and --preset keep weak poses, for average precision.

    Raises:
        UsageError: a value out of range, or a flag without effect.
    """
    if getattr(config, "posenet", False) or config.preset:
        flag, name = ("--preset", config.preset) if config.preset else ("--posenet", "posenet")
        if name not in method.presets or (config.preset and getattr(config, "posenet", False)):
            raise UsageError(f"{flag}: has no effect on a network of {method.name}")
        options = method.presets[name][every_pose]
    known, asked = _names(options), _asked(config)
    given = [f"--mask.{name}" for name, value in vars(config.mask).items() if value is not None]
    useless = [f"--decode.{name}" for name in asked if name not in known]
    useless += [flag for flag in given if method.mask_options is None]
    if useless:
        raise UsageError(f"{useless[0]}: has no effect on a network of {method.name}")
    if given and not getattr(config, "masks", True):
        raise UsageError(f"{given[0]}: has no effect without --masks")
    threads = {"threads": config.threads} if getattr(config, "threads", None) is not None else {}
    masks = None
    if method.mask_options is not None:
        masks = apply_flags(dataclasses.replace(method.mask_options(), **threads), config.mask)
    return apply_flags(options, SimpleNamespace(**{**threads, **asked})), masks


def _own_options(config: Any, method: Method, options: Any) -> Any:
    """Return the options of a method other than PersonLab, changed by the flags.

    Raises:
        UsageError: a flag without effect, or a value out of range.
    """
    known = _names(options)
    useless = [f"--{name}" for name in ("posenet", "calibrate") if getattr(config, name, None)]
    useless += [f"--decode.{name}" for name in _asked(config) if name not in known]
    if useless:
        raise UsageError(f"{useless[0]}: has no effect on a network of {method.name}")
    asked = _asked(config)
    if config.threads is not None:
        asked = {"threads": config.threads, **asked}
    return apply_flags(options, SimpleNamespace(**asked))


def decode_options(config: Any, options: DecodeOptions, posenet: DecodeOptions) -> tuple[DecodeOptions, MaskOptions]:
    """Return `options` or, with --posenet, `posenet`, changed by the decoder's flags.

    Raises:
        UsageError: a value out of range, or a flag for masks without --masks.
    """
    useless = [name for name, value in vars(config.mask).items() if value is not None]
    if useless and not getattr(config, "masks", True):
        raise UsageError(f"--mask.{useless[0]}: has no effect without --masks")
    base, masks = posenet if config.posenet else options, MaskOptions()
    threads = getattr(config, "threads", None)
    if threads is not None:
        base, masks = dataclasses.replace(base, threads=threads), dataclasses.replace(masks, threads=threads)
    own = {name: value for name, value in vars(config.decode).items() if name in _names(base)}
    return apply_flags(base, SimpleNamespace(**own)), apply_flags(masks, config.mask)


def make_predictor(
    config: Any, options: DecodeOptions, mask_options: MaskOptions, *, every_pose: bool = False, **more: Any
) -> Predictor:
    """Make the predictor of the flags, changed by `more`.

    Args:
        config: the flags.
        options: of decoding, for a network of PersonLab.
        mask_options: likewise.
        every_pose: whether networks of other methods keep weak poses, for average precision.
        more: arguments of `Predictor`.

    Raises:
        UsageError: the network of another method than asked for, or a flag without effect on it.
        ImportError, OSError, TypeError, ValueError: as `Predictor` raises them.
    """
    from personlab.predict import predictor

    asked: dict[str, Any] = {
        "engine": config.engine,
        "precision": config.precision,
        "device": config.device,
        "stride": config.stride,
        "long_edge": config.long_edge,
        "scales": config.scales or (1.0,),
        "flip": config.flip,
        "batch_size": config.batch_size,
        "autocast": config.autocast,
        "max_pixels": config.max_pixels,
        "reduced_reading": config.reduced_reading,
        "options": options,
        "mask_options": mask_options,
        "disk_radius": config.decode.disk_radius,
    }
    weights, asked = more.pop("weights", config.weights), {**asked, **more}
    names = ("stride", "device", "engine", "precision", "autocast")
    loaded = predictor.load_network(  # type: ignore[attr-defined]  # the one that Predictor calls
        weights, **{name: asked[name] for name in names}
    )
    method = loaded.method
    if config.method not in (None, method.name):
        raise UsageError(f"--method: expected {method.name} for {config.weights}, got {config.method}")
    if config.preset not in (None, *method.presets):
        raise UsageError(f"--preset: has no effect on a network of {method.name}")
    if method.name != DEFAULT_METHOD:
        base = method.every_pose if every_pose else method.options()
        if config.preset is not None:
            base = method.presets[config.preset][every_pose]
        asked |= {"options": _own_options(config, method, base), "mask_options": None, "disk_radius": None}
    elif foreign := [name for name in _asked(config) if name not in _names(options)]:
        raise UsageError(f"--decode.{foreign[0]}: has no effect on a network of {method.name}")
    inputs = {name: asked[name] for name in ("batch_size", "max_pixels", "long_edge")}
    finder = make_finder(config, loaded, every_pose=every_pose, **inputs)
    return predictor.Predictor(loaded, **asked, finder=finder)


def warn_of_photographs(weights: str, predictor: Predictor, sources: Iterable[Source]) -> None:
    """Log a warning if a network that knows drawn people only is run on other images."""
    from personlab.io.sources import is_drawn
    from personlab.weights import default_name

    if predictor.settings.domain == DRAWN and not all(map(is_drawn, sources)):
        log(f"warning: {weights} knows drawn people only: for photographs use --weights {default_name()} or another")


def describe_setting(scales: Any, flip: bool) -> str:
    """Describe a setting as the tables do."""
    several = [] if tuple(scales) == (1.0,) else [f"scales {' '.join(f'{scale:g}' for scale in scales)}"]
    return " + ".join([*several, *(["flip"] if flip else [])]) or "single scale"


def time_rows(times: Mapping[str, float], count: int) -> list[list[str]]:
    """Return rows of stage, ms per image, and seconds in all, for a table."""
    return [[s, f"{times[s] / max(count, 1):.2f}", f"{times[s] / 1e3:.2f}"] for s in STAGES if s in times]
