"""The pipeline of prediction: read and prepare, run the network, decode poses and masks, in threads that overlap."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.images import read_image, read_reduced
from personlab.io.reduced import size_of
from personlab.predict.boxes import Boxed, boxes_of
from personlab.predict.engines.layout import count_cores
from personlab.predict.frame import Frame
from personlab.predict.prediction import Prediction
from personlab.predict.stream import Stage, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.calibration import Calibration
    from personlab.methods.base import Method, Setup
    from personlab.poses import Poses
    from personlab.predict.engines import Engine

_MASK_BYTES = 128  # max bytes of the masks of one image, for each pixel of `InputOptions.max_pixels`
_MAX_WORKERS = 4  # threads that read, and that decode: one keeps two cores of an engine busy
_MIN_ROWS = 32  # inputs in one run of the network, where there are so many and `batch_size` is smaller


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Takes images from their sources to predictions."""

    method: Method
    engine: Engine
    setup: Setup
    to_host: bool  # whether fields are copied to host memory, else decoded where the engine leaves outputs
    masks: bool  # whether masks are decoded
    calibration: Calibration | None = None  # of the scores of poses
    batch_size: int = 1  # max images in one run of the network
    bgr: bool = False  # channels of arrays
    reduced_reading: bool = False  # whether large files may be read at a fraction of their size
    keep_fields: bool = False
    keep_image: bool = False
    finder: Pipeline | None = None  # what finds the boxes that the method takes; it keeps images

    def run(self, image: Any) -> Frame:
        """Predict one image in the calling thread."""
        frames = list(_frames_of([image]))
        for stage in self._stages():
            frames = stage.work(frames)
        return frames[0]

    def stream(self, images: Iterable[Any], deliver: Callable[[Frame], Prediction] | None = None) -> Stream[Prediction]:
        """Return an iterator over the predictions of images, as `Predictor.stream` describes it.

        Args:
            images: as `Predictor.stream` takes them.
            deliver: makes the prediction of each frame, in order; `deliver` of this pipeline if left out.
        """
        return Stream(_frames_of(images), self._stages(), deliver or self.deliver)

    def stream_fields(self, images: Iterable[Any]) -> Stream[Any]:
        """Return an iterator over the fields of images, which are not decoded."""
        return Stream(_frames_of(images), self._stages(decode=False), self._deliver_fields)

    def _stages(self, *, decode: bool = True) -> tuple[Stage, ...]:
        finding = () if self.finder is None else self.finder._stages()
        many = max(min(count_cores() // 2, _MAX_WORKERS), 1)
        prepare = Stage(self._prepare, workers=many)
        run = Stage(self._run, workers=self.engine.streams, batch=self.batch_size)
        if not decode:
            return (*finding, prepare, run)
        if self.to_host and self.engine.streams > 1:  # what a thread has run it decodes, while others run the network
            return (*finding, prepare, run._replace(work=self._run_and_decode))
        decoders = many if self.to_host else 1  # decoding on a GPU queues its work on one stream
        return (*finding, prepare, run, Stage(self._decode, workers=decoders))

    def _prepare(self, frames: list[Frame]) -> list[Frame]:
        """Read images, and make them inputs of the network."""
        for frame in frames:
            if frame.error is None:
                self._prepare_frame(frame)
        return frames

    def _prepare_frame(self, frame: Frame) -> None:
        with frame.stage("read"):
            if self.finder is None:
                frame.image = self._read(frame)
                frame.size = size_of(frame.image)
            else:
                _take_people(frame)
        if frame.error is None:
            with frame.stage("resize"):
                frame.prepared = self.method.prepare(frame.image, self.setup, frame.notes, *self._boxes(frame))
        if not self.keep_image:
            frame.image = None

    def _boxes(self, frame: Frame) -> tuple[Any, ...]:
        """Return what the method takes beside an image."""
        if not self.method.takes_boxes:
            return ()
        if frame.boxes is None:
            raise ValueError(f"boxes: expected the boxes of people, which {self.method.name} takes, got none")
        return (frame.boxes,)

    def _read(self, frame: Frame) -> Any:
        reduction = self.method.reduction
        if reduction is None or self.keep_image or not self.reduced_reading:
            return read_image(frame.source, bgr=self.bgr, damage=frame.damage)
        return read_reduced(frame.source, lambda size: reduction(size, self.setup), bgr=self.bgr, damage=frame.damage)

    def _run(self, frames: list[Frame]) -> list[Frame]:
        """Run the network, over images whose views have one size together."""
        groups: dict[Any, list[Frame]] = {}
        for frame in frames:
            if frame.error is None and frame.prepared is not None:
                groups.setdefault(tuple(view.shape[1:] for view in frame.prepared.views), []).append(frame)
        for group in groups.values():
            self._run_group(group)
        return frames

    def _run_group(self, group: list[Frame]) -> None:
        first = group[0]
        with first.stage("network"):
            prepared = [frame.prepared for frame in group if frame.prepared is not None]
            names = self.method.outputs(self.masks)
            views = (_joined(rows) for rows in zip(*(one.views for one in prepared), strict=True))
            outputs = (self._outputs(images, names) for images in views)
            fields = self.method.merge(outputs, [one.way for one in prepared], self.setup, self.to_host)
            for frame, own in zip(group, fields, strict=True):
                frame.fields, frame.prepared = own, None
        share, error = first.times["network"] / len(group), first.error
        for frame in group:
            frame.times["network"], frame.error = share, error

    def _outputs(self, images: NDArray[Any], names: Sequence[str]) -> Mapping[str, Any]:
        """Run the network over the rows of a view, not too many at once; without rows there are no outputs."""
        step = max(self.batch_size, _MIN_ROWS)
        runs = [self.engine.run(images[first : first + step], names) for first in range(0, len(images), step)]
        if len(runs) < 2:
            return runs[0] if runs else {}
        return {name: _stacked([run[name] for run in runs]) for name in runs[0]}

    def _run_and_decode(self, frames: list[Frame]) -> list[Frame]:
        return self._decode(self._run(frames))

    def _decode(self, frames: list[Frame]) -> list[Frame]:
        """Decode fields into poses and masks."""
        for frame in frames:
            if frame.error is None:
                self._decode_frame(frame)
        return frames

    def _decode_frame(self, frame: Frame) -> None:
        decoded = poses = masks = scores = kept = None
        with frame.stage("decode"):
            decoded = self.method.decode(frame.fields, self.setup)
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
                skeleton=self.setup.config.skeleton,
                damage=frame.damage[0] if frame.damage else "",
            )
        frame.fields = frame.image = None

    def _decode_masks(self, frame: Frame, decoded: Poses) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Decode masks at the image's size, or smaller where they would take too much memory."""
        width, height = frame.size
        limit = _MASK_BYTES * self.setup.inputs.max_pixels
        if len(decoded) * width * height > limit:
            shrink = (limit / (len(decoded) * width * height)) ** 0.5
            width, height = max(int(width * shrink), 1), max(int(height * shrink), 1)
            frame.notes.append(
                f"{len(decoded)} masks of {frame.size[0]} x {frame.size[1]} pixels are made "
                f"{width} x {height}, of at most {limit} bytes together"
            )
        assert self.method.decode_masks is not None
        return self.method.decode_masks(decoded, frame.fields, (height, width), self.setup)

    def deliver(self, frame: Frame) -> Prediction:
        """Return the prediction of a frame, or raise its exception, after the warnings that it collected."""
        _warn_or_raise(frame)
        assert frame.prediction is not None
        return frame.prediction

    def _deliver_fields(self, frame: Frame) -> Any:
        _warn_or_raise(frame)
        return frame.fields.to_host()


def _warn_or_raise(frame: Frame) -> None:
    for note in (*frame.damage, *(f"{frame.name}: {note}" for note in frame.notes)):
        warnings.warn(note, RuntimeWarning, stacklevel=4)
    if frame.error is not None:
        raise frame.error


def _frames_of(sources: Iterable[Any]) -> Iterator[Frame]:
    """Yield a frame for each source; an iterable that breaks ends with a frame of its exception."""
    iterator = iter(sources)
    while True:
        frame = Frame()
        with frame.stage("read"):
            try:
                source = next(iterator)
            except StopIteration:
                return
            frame.source, frame.boxes = (source.image, source.people) if isinstance(source, Boxed) else (source, None)
        broken = frame.error is not None  # later the frame may have an error of its own
        yield frame
        if broken:
            return


def _joined(views: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return views[0] if len(views) == 1 else np.concatenate(views)


def _stacked(arrays: Sequence[Any]) -> Any:
    """Return the outputs of several runs as one, where the engine leaves them."""
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays)
    import torch

    return torch.cat(list(arrays))


def _take_people(frame: Frame) -> None:
    """Take what the finder has made of an image: the image, and boxes around its people unless the frame has some."""
    assert frame.prediction is not None
    if frame.boxes is None:
        frame.boxes = boxes_of(frame.prediction)
    frame.image, frame.prediction = frame.prediction.image, None
