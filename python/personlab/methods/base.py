"""The seam: what a method is to prediction, training, weights, export and drawing, as one record of functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from personlab.data.augment import Show
    from personlab.data.coco import People
    from personlab.data.grid import Grid
    from personlab.poses import Poses
    from personlab.settings import Settings

    Arrays = Mapping[str, Any]  # outputs of a network by name, as the engine has them: leading axis N, float32


class Weights(NamedTuple):
    """A network as data."""

    config: Any  # `Method.config`
    state: Mapping[str, NDArray[Any]]  # weights by name, as in a checkpoint


class Boxes(NamedTuple):
    """Where the P people of an image are, for methods that look at one person at a time."""

    boxes: NDArray[Any]  # (P, 4) x, y, w, h pixels of the image, float64
    scores: NDArray[Any]  # (P,) how sure their detector is, float64


class Prepared(NamedTuple):
    """An image as its method shows it to the network, and the way back."""

    views: tuple[NDArray[Any], ...]
    """(n, H, W, 3) uint8 RGB: inputs of the network, n of one size; n is the same in each view, and may be 0"""

    way: Any  # what `Method.merge` needs to know of these views and of the image


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How images are shown to a network."""

    long_edge: int  # longest side of the network input at scale 1, pixels
    scales: tuple[float, ...] = (1.0,)  # factors on it
    flip: bool = False  # mirror images, too
    max_pixels: int = 4096 * 4096  # of the largest network input


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is the same for all images of a predictor."""

    config: Any  # of the network
    settings: Settings  # what it was trained and scored with
    inputs: InputOptions
    options: Any  # `Method.options`
    mask_options: Any = None  # `Method.mask_options`


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Options of a method that has none."""


class Lesson(NamedTuple):
    """The fields of one image as one teacher sees them, as `Teaching.pack` returns them."""

    names: tuple[str, ...]  # of the fields that are taught
    packed: NDArray[np.float16]
    weight: float  # of this teacher in the mean of several


class Equation(NamedTuple):
    """Rows of a linear system: outputs of a 1x1 convolution, and what they should be."""

    head: str  # name of the module
    outputs: slice  # channels of its output
    features: torch.Tensor  # (n, C)
    targets: torch.Tensor  # (n, m)
    weights: torch.Tensor  # (n,)


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """How networks of a method teach another one: fields of whole images are kept, and losses are taken on their views.

    Names are those of fields that a teacher teaches.
    """

    options: type  # of the losses, `TrainConfig.teaching`: every field has a default
    check: Callable[[Any, Any, Sequence[str]], None]
    """(the teacher's config, the student's skeleton, names) -> None; raises ValueError where it cannot teach these"""
    pack: Callable[[Any, Sequence[str], Setup], NDArray[np.float16]]
    """(`Method.fields` of an image, names, setup of the teacher) -> one array that holds what the lesson needs"""
    show: Callable[[Sequence[Lesson], tuple[int, int], Any, Any], Mapping[str, NDArray[Any]]]
    """(lessons, (H, W) of the image, view, grid) -> the fields of a view by name, beside the targets in a batch; runs
    in any process. View: `personlab.data.augment.View`, grid: `personlab.data.grid.Grid`"""
    losses: Callable[[Any, Any, Any], Callable[[Any, Any], Mapping[str, Any]]]
    """(network, options, `TrainConfig.loss`) -> (outputs, batch) -> scalars by name, the weighted sum `taught`"""
    equations: Callable[[Any, Any, Any, Sequence[str]], Iterable[Equation]]
    """(network, batch, options, heads) -> what these heads should say of the batch"""


def _no_server(*_: Any) -> Any:
    raise ValueError("expected a network of the package, for this method has none on a server")


@dataclass(frozen=True, kw_only=True)
class Published:
    """The networks of a method that are loaded by name: checkpoints in the package, and files on a server, if any.

    The first file of a network on the server is its manifest: it lists the files of weights, which lie beside it.
    """

    shipped: Mapping[str, Path]  # name -> checkpoint in the package
    default: str | None = None
    """name of the network for photographs that predicts where none is named"""
    digests: Mapping[str, str] = field(default_factory=dict)
    """name -> SHA-256 of the weights (`personlab.weights.download.digest`)"""
    base_url: str = ""  # of the server
    locate: Callable[[str], tuple[str, str] | None] = lambda text: None  # noqa: ARG005
    """text that begins with a name -> that name, path of its manifest below `base_url`; also names without a digest"""
    max_manifest_bytes: int = 0
    parse: Callable[[bytes], Any] = _no_server
    """content -> manifest with `paths` of the files of weights and `size`, bytes of all"""
    read: Callable[[Any, Callable[[str, int], bytes]], Weights] = _no_server
    """(manifest, (path, max bytes) -> content) -> a network"""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What `personlab demo` shows of a method."""

    weights: str  # name of a network of the package that knows drawn people
    size: tuple[int, int]  # (H, W) of the scene, and of the network input without padding, pixels


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What `personlab bench` times of a method's decoding."""

    size: tuple[int, int]  # (H, W) of the network input of drawn crowds unless asked otherwise, pixels
    stride: int  # of their fields
    crowd: Callable[..., Any]  # (people, *, size, stride) -> fields of a perfect network
    time: Callable[..., Mapping[str, Any]]
    """(fields, *, options, mask_options, rounds) -> cells by column: texts, counts, seconds as floats, or a pair of
    seconds and their lower bound; None where a file has no such output"""
    shown: tuple[str, ...] = ("threads",)  # options that the heading states


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What a method makes of annotations, encoded and decoded: the max that a network of it can reach."""

    strides: tuple[int, ...]  # unless asked otherwise
    options: Any  # of decoding, likewise
    decode: Callable[..., tuple[Poses, NDArray[Any] | None, NDArray[Any] | None]]
    """(people of an image, *, stride, skeleton, long_edge, options, mask_options) -> people in pixels of the image,
    masks (P, H, W) and their scores (P,), or None without masks; `long_edge` is the longest side of the network input,
    None where left to the method"""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method: its types, and its functions in the order in which they are called.

    Functions import torch where they need it, so that a method can be looked up without. A network of the method is a
    `torch.nn.Module` with `config`, an object of the type below, and `settings` (`personlab.settings.Settings`); it
    takes images (N, 3, H, W) RGB 0..255 and returns an object with its outputs as attributes; `at_stride(stride)`
    returns a network over the same weights, or raises ValueError. In training, parameters named `backbone.*` have the
    learning rate of the run, all others that of heads.
    """

    name: str
    config: type
    """of networks: a frozen dataclass with `method`, `skeleton`, `stride`, `to_json` and `from_json`, whose fields have
    defaults; with `decode_masks`, also `masks`, whether a network has them; `input_step`, where the sides of network
    inputs are multiples of that, and not of the stride plus 1"""
    fields: type
    """of one image: `image_scale`, (sx, sy) from its pixels to the image's; `to_host()`; `save(path)`; with `load` or
    `demo`, `image_size`, (w, h) of the image, None where `input_size` counts instead, and `with_image_size((w, h))`"""
    targets: type  # of one image: a dataclass, whose arrays `make_batch` stacks
    options: type  # of decoding: every field has a default; `threads` where several can share the work
    mask_options: type | None = None  # of masks
    loss_options: type = NoOptions  # of losses and targets, `TrainConfig.loss`: every field has a default
    every_pose: Any  # options that keep weak poses, for average precision
    presets: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """options that decode as other programs do, by name: as these do, and with weak poses for average precision"""
    calls: tuple[str, str] = ("decode", "masks")  # names of `decode` and `decode_masks` in tables of times

    # Prediction
    size_rest: int | None = None  # H and W of all views, modulo the stride; None: views of any size
    outputs: Callable[[bool], tuple[str, ...]]  # (masks) -> names of the outputs that decoding needs, in export's order
    tune: Callable[[Any, Settings, float | None], Any]  # (options, settings, disk radius asked for) -> options
    takes_boxes: bool = False  # whether it looks at one person at a time: `prepare` takes `Boxes`, too
    prepare: Callable[..., Prepared]
    """(image, setup, notes) or, with `takes_boxes`, (image, setup, notes, boxes): image (H, W, 3) or, with `reduction`,
    a `personlab.io.reduced.ReducedImage`; and where to note what it changes"""
    reduction: Callable[[tuple[int, int], Setup], float] | None = None
    """(w, h) of an image -> the factor by which it may be read smaller; without it, images are read whole"""
    merge: Callable[[Iterable[Arrays], Sequence[Any], Setup, bool], list[Any]]
    """(outputs of each view, without names where it has no rows, ways of the images that share them, setup, whether to
    copy to the host) -> fields"""
    can_decode_on: Callable[[torch.device, Any], bool]  # (device, config): whether fields may stay where outputs are
    decode: Callable[[Any, Setup], Poses]  # fields -> people in pixels of the fields
    decode_masks: Callable[[Poses, Any, tuple[int, int], Setup], tuple[NDArray[Any], NDArray[Any]]] | None = None
    """(people as decoded, fields, (H, W) of the masks, setup) -> bool (P, H, W) and scores (P,)"""

    # Training
    show: Show | None = None  # how views are drawn and taken; with `takes_boxes`, of one person each; None: of images
    network: Callable[[Any], Any]  # (config) -> a network, randomly initialised
    encode: Callable[[People, Grid, Any], Any]  # (people, grid, `TrainConfig.loss`) -> targets; runs in any process
    losses: Callable[[Any, Any], Callable[[Any, Any], Mapping[str, Any]]]
    """(network, `TrainConfig.loss`) -> (outputs, batch) -> scalars by name for the log, the one to minimise `total`"""

    teaching: Teaching | None = None  # by other networks; None: networks of the method learn from labels alone

    # Files and drawings
    published: Published | None = None  # networks by name
    read: Callable[[Path], Weights | None] | None = None  # of others, from a file that is no checkpoint; without torch
    read_pickle: Callable[[Path], Weights | None] | None = None
    """the same from a file that `torch.save` wrote, of which tensors alone are read; None where it holds another"""
    describe: Callable[[Any], Mapping[str, str]] | None = None
    """(config) -> facts on a network's architecture, by name"""
    graph: Callable[..., bytes | None] | None = None
    """(weights, entries of metadata, *, size: (W, H) or None for any, pixels: whether images are (N, H, W, 3) uint8) ->
    ONNX file that computes what the network does, made without torch; None for networks that torch alone exports"""
    load: Callable[[Path, bool], Any] | None = None
    """(file that `save` of fields wrote, whether masks will be decoded) -> the fields of the one image in it"""
    draw: Callable[..., Mapping[str, NDArray[Any]]]
    """(fields, image, poses, masks, *, options, skeleton) -> drawings by name, (H, W, 3) uint8"""
    canvas: Callable[[Any], NDArray[Any]] | None = None  # fields -> what is drawn on where their image is unknown
    draw_batch: Callable[[Any, Any, Any], NDArray[Any]]
    """(network, batch, `TrainConfig.loss`) -> what a batch's targets say beside what the network says"""

    # Commands
    demo: Demo | None = None
    bench: Bench | None = None
    ceiling: Ceiling | None = None
