"""`Predictor`: from images to people, for single images, lists, and streams whose stages overlap."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.io.images import read_image
from personlab.io.resize import MAX_SIDE
from personlab.methods.base import InputOptions, Setup
from personlab.predict.frame import Frame
from personlab.predict.load import LoadedNetwork, load_network
from personlab.predict.prediction import Prediction
from personlab.predict.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.predict.engines import EngineName, Precision
    from personlab.skeleton import Skeleton

_LONG_EDGE = 641  # unless the caller or the network says another
_MASK_BYTES = 128  # max bytes of the masks of one image, for each pixel of `max_pixels`


class Predictor:
    """Find people in images, in the images' own pixels.

    An image goes through four steps: its method prepares it, an engine runs the network, the method merges the outputs
    into fields, and decodes these.

    For PersonLab, the longest side of an image becomes `long_edge` times each of `scales`, each side then the nearest
    multiple of the stride plus 1, corner pixel on corner pixel. Several scales and mirror images are merged as
    `personlab.methods.personlab.merge.merge_views` describes; on `coco-mini` with PoseNet 0.75, scales 0.75, 1 and 1.5
    with mirror images raise keypoint AP from 0.287 to 0.335 (scored as by `DecodeOptions.paper`). Images run through
    the network together where their inputs are of one size.

    Args:
        weights: a network (`personlab.nn.PersonLab` or another method's, which is put into eval mode), what
            `load_model` takes, an ONNX file that `export_onnx` wrote, or the attribute `loaded` of another predictor,
            whose engine is then shared.
        engine: what runs the network. "auto": PyTorch on GPUs and for a network passed as `weights`, else the first of
            "openvino", "onnxruntime" and "torch" that is installed. The first two run an exported file, which is made
            once (this takes torch and onnxscript) and kept beside the weights. The attribute `engine` is the one in
            use.
        precision: "float32", "bfloat16", "float16" or "auto": bfloat16 where processor and engine compute it natively,
            else float32; float32 for a network passed as `weights`. The attribute `precision` is the one in use.
        engine_options: for the engine: `compile` for torch; `providers` and `threads` for onnxruntime; properties of
            its CPU device for openvino.
        device: where the network runs, such as "cpu" or "cuda:0"; if left out, that of a network passed as `weights`,
            else CUDA where PyTorch can use it. On an NVIDIA GPU poses and masks are decoded on the GPU too, unless
            personlab was built without CUDA; predictions are in host memory in any case.
        stride: of the network's output, input pixels; if left out, the one that the network was scored at
            (`personlab.settings.Settings`), else its own.
        long_edge: longest side of the network input at scale 1, pixels; if left out, the one that the network was
            scored at, else 641.
        scales: factors on `long_edge`.
        flip: whether to show the mirror image, too.
        batch_size: max images in one run of the network.
        threads: threads that decode one image; those of the options if left out. PyTorch's are set by PyTorch.
        autocast: run by torch in 16 bits where PyTorch deems it safe, on processors without such instructions, too.
        masks: whether to find masks, where the network can.
        options: how poses are decoded, `DecodeOptions` or another method's; the method's defaults if left out. Their
            `disk_radius`, where it is the default of `DecodeOptions`, becomes that of the network, where known.
        mask_options: how masks are, `MaskOptions` or another method's.
        disk_radius: R, input pixels, whatever the options and the network say.
        calibrated: whether the scores of poses are the OKS to expect, where the network has a calibration
            (`personlab evaluate --calibrate`) that suits the options. `min_score` is compared with scores as decoded,
            and mask scores are made of these.
        max_pixels: pixels of the largest network input; a larger one is made smaller, with a warning. Masks of one
            image that would take more than 128 bytes for each of these pixels are made smaller, likewise.
        bgr: arrays are blue, green, red, as OpenCV reads them.
        keep_fields: whether predictions hold the network's fields.
        keep_image: whether predictions hold the image.

    Raises:
        ImportError, OSError: the weights cannot be loaded.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        weights: Any,
        *,
        engine: EngineName = "auto",
        precision: Precision = "auto",
        engine_options: Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        stride: int | None = None,
        long_edge: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        batch_size: int = 1,
        threads: int | None = None,
        autocast: bool = False,
        masks: bool = True,
        options: Any = None,
        mask_options: Any = None,
        disk_radius: float | None = None,
        calibrated: bool = True,
        max_pixels: int = 4096 * 4096,
        bgr: bool = False,
        keep_fields: bool = False,
        keep_image: bool = False,
    ) -> None:
        if long_edge is not None:
            long_edge = as_integer(long_edge, "long_edge", 1, MAX_SIDE)
        self.scales = tuple(as_number(scale, "scales", 0, 64, above=True) for scale in scales)
        if not self.scales:
            raise ValueError("scales: expected at least one, got none")
        self.flip, self.autocast, self.bgr = bool(flip), bool(autocast), bool(bgr)
        self.batch_size = as_integer(batch_size, "batch_size", 1, 4096)
        self.max_pixels = as_integer(max_pixels, "max_pixels", 1)
        self.keep_fields, self.keep_image = bool(keep_fields), bool(keep_image)
        self.loaded: LoadedNetwork = load_network(
            weights, stride=stride, device=device, engine=engine, precision=precision, engine_options=engine_options,
            autocast=self.autocast,
        )  # fmt: skip
        self.method, self.settings = self.loaded.method, self.loaded.settings
        self.device: Any = self.loaded.device
        self._engine = self.loaded.engine
        self.engine, self.precision = self._engine.name, self._engine.precision
        options = _options(options, "options", self.method.options, threads)
        self.mask_options = _options(mask_options, "mask_options", self.method.mask_options, threads)
        self.long_edge = long_edge or as_integer(self.settings.long_edge or _LONG_EDGE, "long_edge", 1, MAX_SIDE)
        self.options = self.method.tune(options, self.settings, disk_radius)
        self.calibration = self.settings.calibration if calibrated else None
        if self.calibration is not None and not self.calibration.suits(self.options):
            self.calibration = None
        config = self.loaded.config
        self.stride: int = config.stride
        self.skeleton: Skeleton = config.skeleton
        self.has_masks = self.method.decode_masks is not None and bool(config.masks)
        self.masks = bool(masks) and self.has_masks
        if self.flip:
            _ = self.skeleton.directed_flip  # refuses a skeleton that has no mirror image
        place: Any = self._engine.device
        self._stays_on_device = place is not None and self.method.can_decode_on(place, config)
        self._setup = Setup(
            config=config,
            settings=self.settings if disk_radius is None else replace(self.settings, disk_radius=disk_radius),
            inputs=InputOptions(
                long_edge=self.long_edge, scales=self.scales, flip=self.flip, max_pixels=self.max_pixels
            ),
            options=self.options,
            mask_options=self.mask_options,
        )

    @property
    def network(self) -> Any:
        """The network as a `torch.nn.Module`; where another engine runs it, it is loaded when first asked for.

        Raises:
            ImportError, OSError, ValueError: it cannot be loaded, as of an exported file.
        """
        return self.loaded.network

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...

    @overload
    def __call__(self, image: Any) -> Prediction: ...

    def __call__(self, image: Any) -> Prediction | list[Prediction]:
        """Find the people of one image, or of each in a list.

        Args:
            image: a file's path, a PIL image, a uint8 array (`personlab.io.images.read_image`), or a list of
                these.

        Returns:
            `Prediction`, or a list of them for a list.

        Raises:
            FileNotFoundError: no such file.
            TypeError: no image.
            ValueError: a file that is no image, or an array of another shape.
        """
        if isinstance(image, (list, tuple)):
            with self.stream(image) as stream:
                return list(stream)
        return self._deliver(next(self._decode(self._run(self._read([image])))))

    def stream(self, images: Iterable[Any]) -> Stream[Prediction]:
        """Return an iterator over the predictions of images, in their order.

        Reading, the network and decoding run in a thread each, so that decoding image n overlaps with the network's
        work on image n + 1; a few images are read ahead, no more. An image that cannot be read or decoded raises
        when its turn comes, and the next `next` returns the image after it.

        Args:
            images: what `__call__` takes, in any iterable, which is read in another thread.
        """
        stages = (self._read, self._run, self._decode)
        return Stream(images, stages, self._deliver, depth=self.batch_size + 1)

    def _read(self, sources: Iterable[Any]) -> Iterator[Frame]:
        """Read and prepare images; an iterable that breaks ends the stream at that place."""
        iterator = iter(sources)
        while True:
            frame = Frame()
            with frame.stage("read"):
                try:
                    frame.source = next(iterator)
                except StopIteration:
                    return
            broken = frame.error is not None
            if not broken:
                self._prepare(frame)
            yield frame
            if broken:
                return

    def _prepare(self, frame: Frame) -> None:
        with frame.stage("read"):
            frame.image = read_image(frame.source, bgr=self.bgr, damage=frame.damage)
            frame.size = (frame.image.shape[1], frame.image.shape[0])
        if frame.error is None:
            with frame.stage("resize"):
                frame.prepared = self.method.prepare(frame.image, self._setup, frame.notes)
        if not self.keep_image:
            frame.image = None

    def _run(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Run the network, over images whose views have one size together."""
        while batch := list(itertools.islice(frames, self.batch_size)):
            groups: dict[Any, list[Frame]] = {}
            for frame in batch:
                if frame.error is None and frame.prepared is not None:
                    groups.setdefault(tuple(view.shape[1:] for view in frame.prepared.views), []).append(frame)
            for group in groups.values():
                self._run_group(group)
            yield from batch

    def _run_group(self, group: list[Frame]) -> None:
        first = group[0]
        with first.stage("network"):
            prepared = [frame.prepared for frame in group if frame.prepared is not None]
            names = self.method.outputs(self.masks)
            views = (np.concatenate(rows) for rows in zip(*(one.views for one in prepared), strict=True))
            outputs = (self._engine.run(images, names) for images in views)
            fields = self.method.merge(outputs, [one.way for one in prepared], self._setup, not self._stays_on_device)
            for frame, own in zip(group, fields, strict=True):
                frame.fields, frame.prepared = own, None
        share, error = first.times["network"] / len(group), first.error
        for frame in group:
            frame.times["network"], frame.error = share, error

    def _decode(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Decode fields into poses and masks."""
        for frame in frames:
            if frame.error is None:
                self._decode_frame(frame)
            yield frame

    def _decode_frame(self, frame: Frame) -> None:
        decoded = poses = masks = scores = kept = None
        with frame.stage("decode"):
            decoded = self.method.decode(frame.fields, self._setup)
            poses = decoded.scaled(*frame.fields.image_scale)
            if self.calibration is not None:
                poses = replace(poses, scores=self.calibration(poses.scores))
            if self.keep_fields:
                kept = frame.fields.to_host()
        if self.masks and decoded is not None and frame.error is None:
            with frame.stage("masks"):
                masks, scores = self._decode_masks(frame, decoded)
        if poses is not None and frame.error is None:
            frame.prediction = Prediction(
                poses=poses,
                masks=masks,
                mask_scores=scores,
                image_size=frame.size,
                times=frame.times,
                fields=kept,
                image=frame.image,
                skeleton=self.skeleton,
                damage=frame.damage[0] if frame.damage else "",
            )
        frame.fields = frame.image = None

    def _decode_masks(self, frame: Frame, decoded: Poses) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Decode masks at the image's size, or smaller where they would take too much memory."""
        width, height = frame.size
        limit = _MASK_BYTES * self.max_pixels
        if len(decoded) * width * height > limit:
            shrink = (limit / (len(decoded) * width * height)) ** 0.5
            width, height = max(int(width * shrink), 1), max(int(height * shrink), 1)
            frame.notes.append(
                f"{len(decoded)} masks of {frame.size[0]} x {frame.size[1]} pixels are made "
                f"{width} x {height}, of at most {limit} bytes together"
            )
        assert self.method.decode_masks is not None
        return self.method.decode_masks(decoded, frame.fields, (height, width), self._setup)

    def _deliver(self, frame: Frame) -> Prediction:
        for note in (*frame.damage, *(f"{frame.name}: {note}" for note in frame.notes)):
            warnings.warn(note, RuntimeWarning, stacklevel=3)
        if frame.error is not None:
            raise frame.error
        assert frame.prediction is not None
        return frame.prediction


def _options(options: Any, name: str, kind: type | None, threads: int | None) -> Any:
    """Return the options, or the defaults of the method, on so many threads where that is asked for."""
    if kind is None:
        if options is not None:
            raise TypeError(f"{name}: expected None, for the method has no such options, got {type(options).__name__}")
        return None
    options = kind() if options is None else options
    check_type(options, name, kind)
    if threads is None:
        return options
    if not hasattr(options, "threads"):
        raise TypeError(f"threads: expected None, for {kind.__name__} has no such option, got {threads!r}")
    return replace(options, threads=threads)
