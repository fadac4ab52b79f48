"""`Predictor`: from images to people, for single images, lists, and streams whose stages overlap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.io.resize import MAX_SIDE
from personlab.methods.base import InputOptions, Setup
from personlab.predict.boxes import Boxed
from personlab.predict.load import LoadedNetwork, load_network
from personlab.predict.pipeline import Pipeline
from personlab.weights.download import default_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch

    from personlab.predict.engines import EngineName, Precision
    from personlab.predict.frame import Frame
    from personlab.predict.prediction import Prediction
    from personlab.predict.stream import Stream
    from personlab.skeleton import Skeleton
    from personlab.track import TrackOptions

_LONG_EDGE = 641  # unless the caller or the network says another


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
            whose engine is then shared; if left out, the network of the package for photographs.
        engine: what runs the network. "auto": PyTorch on GPUs and for a network passed as `weights`, else the first of
            "openvino", "onnxruntime" and "torch" that is installed. The first two run an exported file, which is made
            once (this takes torch and onnxscript) and kept beside the weights. The attribute `engine` is the one in
            use.
        precision: "float32", "bfloat16", "float16" or "auto": bfloat16 where processor and engine compute it natively,
            else float32; float32 for a network passed as `weights`, and for what a quantised file does not compute in
            whole numbers. The attribute `precision` is the one in use.
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
        reduced_reading: whether JPEG files at least twice as large as the network input are decoded at 1/2, 1/4 or 1/8
            of their size, which is faster; poses and masks are in the image's own pixels all the same. With
            `keep_image` they are decoded whole.
        finder: what finds people for a method that looks at one at a time, such as simple_baseline: a predictor, whose
            people's boxes it takes; without, images come with boxes.
        streaming: whether the engine is prepared for `stream` alone, which saves compiling the network a second time; a
            single image then takes longer.
        keep_fields: whether predictions hold the network's fields.
        keep_image: whether predictions hold the image.

    Raises:
        ImportError, OSError: the weights cannot be loaded.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        weights: Any = default_name(),  # noqa: B008  # a constant of the package
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
        reduced_reading: bool = True,
        finder: Predictor | None = None,
        streaming: bool = False,
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
        self.reduced_reading = bool(reduced_reading)
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
        if self.flip and not self.method.takes_boxes:  # one person at a time needs no edges
            _ = self.skeleton.directed_flip  # refuses a skeleton that has no mirror image
        self.finder = self._check_finder(finder)
        self._engine.prepare(self.method.outputs(self.masks), streaming=bool(streaming))
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

    def _check_finder(self, finder: Predictor | None) -> Predictor | None:
        """Check that a finder and the method go together, and the inputs with a method that looks at one person."""
        name = self.method.name
        if self.method.takes_boxes and self.scales != (1.0,):
            raise ValueError(f"scales: expected 1, for {name} shows each person at one size, got {self.scales}")
        if finder is None:
            return None
        check_type(finder, "finder", Predictor)
        if not self.method.takes_boxes:
            raise ValueError(f"finder: expected None, for {name} finds people itself, got one of {finder.method.name}")
        if finder.method.takes_boxes:
            raise ValueError(f"finder: expected a network that finds people, got one of {finder.method.name}")
        return finder

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...

    @overload
    def __call__(self, image: Any, boxes: Any = None) -> Prediction: ...

    def __call__(self, image: Any, boxes: Any = None) -> Prediction | list[Prediction]:
        """Find the people of one image, or of each in a list.

        Args:
            image: a file's path, a PIL image, a uint8 array (`personlab.io.images.read_image`), any of these with boxes
                (`personlab.predict.Boxed`), or a list of such.
            boxes: (P, 4) x, y, w, h pixels, of the people of one image, for a method that looks at one at a time.

        Returns:
            `Prediction`, or a list of them for a list.

        Raises:
            FileNotFoundError: no such file.
            TypeError: no image.
            ValueError: a file that is no image, or an array of another shape.
        """
        if boxes is not None:
            image = Boxed(image, boxes)
        if isinstance(image, (list, tuple)):
            with self.stream(image) as stream:
                return list(stream)
        pipeline = self._pipeline()
        return pipeline.deliver(pipeline.run(image))

    def stream(self, images: Iterable[Any]) -> Stream[Prediction]:
        """Return an iterator over the predictions of images, in their order.

        Reading, the network and decoding run in threads of their own, the network in as many as its engine has use
        for; where these are several, each also decodes what it has run. A few images are read ahead, no more. The
        number of threads changes no result. An image that cannot be read or decoded raises when its turn comes, and
        the next `next` returns the image after it.

        Args:
            images: what `__call__` takes, in any iterable, which is read in another thread.
        """
        return self._pipeline().stream(images)

    def stream_fields(self, images: Iterable[Any]) -> Stream[Any]:
        """Return an iterator over the fields of images, merged and not decoded, in host memory; else as `stream`."""
        return self._pipeline().stream_fields(images)

    @property
    def setup(self) -> Setup:
        """What the method is called with: the configuration of the network, its settings, and those of this object."""
        return self._setup

    def track(self, frames: Iterable[Any], options: TrackOptions | None = None) -> Stream[Prediction]:
        """Return an iterator over the predictions of the frames of a video, as `stream`, with `track_ids`.

        Args:
            frames: what `__call__` takes, in any iterable, which is read in another thread. A frame that cannot be
                read raises when its turn comes, and counts as one without people.
            options: how to track.

        Raises:
            ImportError: SciPy is missing, or OpenCV for optical flow.
            TypeError: options of another type.
        """
        from personlab.predict.propagation import Propagation
        from personlab.track import Tracker

        tracker = Tracker(self.skeleton, options)
        pipeline = self._pipeline(keep_image=self.keep_image or tracker.options.flow)
        predict: Callable[[Frame], Prediction] = pipeline.deliver
        if tracker.options.propagate:
            propagation = Propagation(self)
            pipeline, predict = propagation.finder, propagation.deliver

        def deliver(frame: Frame) -> Prediction:
            try:
                prediction = predict(frame)
            except BaseException:
                tracker.skip()
                raise
            width, height = prediction.image_size
            ids = tracker.update(prediction.poses, masks=prediction.masks, image=prediction.image, size=(height, width))
            return replace(prediction, track_ids=ids, image=prediction.image if self.keep_image else None)

        return pipeline.stream(frames, deliver)

    def _pipeline(self, *, keep_image: bool | None = None) -> Pipeline:
        """Return the pipeline of the attributes as they are now."""
        return Pipeline(
            method=self.method,
            engine=self._engine,
            setup=self._setup,
            to_host=not self._stays_on_device,
            masks=self.masks,
            calibration=self.calibration,
            batch_size=self.batch_size,
            bgr=self.bgr,
            reduced_reading=self.reduced_reading,
            keep_fields=self.keep_fields,
            keep_image=self.keep_image if keep_image is None else keep_image,
            finder=None if self.finder is None else replace(self.finder._pipeline(), keep_image=True, bgr=self.bgr),
        )


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
