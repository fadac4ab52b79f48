"""`Predictor`: from images to people, one at a time, in lists, or as a stream whose stages overlap."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.io.images import LARGEST_SIDE, input_size, read_image, resize
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.device_fields import DeviceFields, decodes_there
from personlab.methods.personlab.fields import Fields
from personlab.methods.personlab.merge import see
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.predict.item import Item
from personlab.predict.load import load_network, settings_of
from personlab.predict.prediction import Prediction
from personlab.predict.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from personlab.skeleton import Skeleton

_LONG_EDGE = 641  # where neither the caller nor the network says another
_MASK_BYTES = 128  # masks of one image take at most so many bytes for each pixel of `max_pixels`


class Predictor:
    """A network and everything around it: images in, people out, in the images' own pixels.

    The longest side of an image becomes `long_edge` times each of `scales`, each side then the nearest multiple of the
    stride plus 1, corner pixel on corner pixel. Several scales and mirror images are merged as
    `personlab.methods.personlab.merge.see` describes; on `coco-mini` with PoseNet 0.75, scales 0.75, 1 and 1.5 with
    mirror images raise keypoint AP from 0.287 to 0.335 (scored as by `DecodeOptions.paper`). Images run through the
    network together where their inputs are of one size.

    Args:
        weights: a network (`personlab.nn.PersonLab`, which is put into eval mode), or what `load_model` takes.
        device: where the network runs, such as "cpu" or "cuda:0"; CUDA where there is any if left out, or where a
            network given as such is. On an NVIDIA GPU poses and masks are decoded there too, unless personlab was built
            without CUDA; predictions lie in host memory all the same.
        stride: of the network's output, input pixels; if left out, the one that the network was scored at
            (`personlab.settings.Settings`), else its own.
        long_edge: longest side of the network input at scale 1, pixels; if left out, the one that the network was
            scored at, else 641.
        scales: factors on `long_edge`.
        flip: whether to look at the mirror image, too.
        batch_size: most images in one run of the network.
        threads: threads that decode one image; those of the options if left out. PyTorch's are set by PyTorch.
        autocast: compute in 16 bits where PyTorch deems it safe.
        masks: whether to find masks, where the network can.
        options: how poses are decoded. Their `disk_radius`, where it is the default of `DecodeOptions`, becomes that of
            the network, where known.
        mask_options: how masks are.
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
        device: str | torch.device | None = None,
        stride: int | None = None,
        long_edge: int | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        batch_size: int = 1,
        threads: int | None = None,
        autocast: bool = False,
        masks: bool = True,
        options: DecodeOptions = DecodeOptions(),  # noqa: B008  # frozen
        mask_options: MaskOptions = MaskOptions(),  # noqa: B008  # frozen
        disk_radius: float | None = None,
        calibrated: bool = True,
        max_pixels: int = 4096 * 4096,
        bgr: bool = False,
        keep_fields: bool = False,
        keep_image: bool = False,
    ) -> None:
        check_type(options, "options", DecodeOptions)
        check_type(mask_options, "mask_options", MaskOptions)
        if long_edge is not None:
            long_edge = as_integer(long_edge, "long_edge", 1, LARGEST_SIDE)
        self.scales = tuple(as_number(scale, "scales", 0, 64, above=True) for scale in scales)
        if not self.scales:
            raise ValueError("scales: expected at least one, got none")
        self.flip, self.autocast, self.bgr = bool(flip), bool(autocast), bool(bgr)
        self.batch_size = as_integer(batch_size, "batch_size", 1, 4096)
        self.max_pixels = as_integer(max_pixels, "max_pixels", 1)
        self.keep_fields, self.keep_image = bool(keep_fields), bool(keep_image)
        if threads is not None:
            options, mask_options = replace(options, threads=threads), replace(mask_options, threads=threads)
        self.network, self.device = load_network(weights, stride, device)
        self.settings = settings_of(self.network)
        self.long_edge = long_edge or as_integer(self.settings.long_edge or _LONG_EDGE, "long_edge", 1, LARGEST_SIDE)
        self.options = self.settings.decoding(options, disk_radius=disk_radius)
        self._disk_radius = self.settings.disk_radius if disk_radius is None else self.options.disk_radius
        self.calibration = self.settings.calibration if calibrated else None
        if self.calibration is not None and not self.calibration.suits(self.options):
            self.calibration = None
        self.mask_options = mask_options
        self.stride: int = self.network.config.stride
        self.skeleton: Skeleton = self.network.config.skeleton
        self._stays_on_device = decodes_there(self.device, self.skeleton.n_keypoints)
        self.has_masks = bool(self.network.config.masks)
        self.masks = bool(masks) and self.has_masks
        if self.flip:
            _ = self.skeleton.directed_flip  # refuses a skeleton that has no mirror image

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
        """Predictions of images as they come, in order.

        Reading, the network and decoding run in a thread each, so that decoding image n overlaps with the network's
        work on image n + 1; a few images are read ahead, no more. An image that cannot be read or decoded raises
        when its turn comes, and the next `next` gives the image after it.

        Args:
            images: what `__call__` takes, in any iterable, which is read in another thread.
        """
        stages = (self._read, self._run, self._decode)
        return Stream(images, stages, self._deliver, depth=self.batch_size + 1)

    def _deliver(self, item: Item) -> Prediction:
        for note in item.damage + item.notes:
            warnings.warn(note, RuntimeWarning, stacklevel=3)
        if item.error is not None:
            raise item.error
        assert item.prediction is not None
        return item.prediction

    def _read(self, sources: Iterable[Any]) -> Iterator[Item]:
        """Read and resize; an iterable that breaks ends the stream at that place."""
        iterator = iter(sources)
        while True:
            item = Item()
            with item.stage("read"):
                try:
                    item.source = next(iterator)
                except StopIteration:
                    return
            broken = item.error is not None
            if not broken:
                self._prepare(item)
            yield item
            if broken:
                return

    def _prepare(self, item: Item) -> None:
        with item.stage("read"):
            item.image = read_image(item.source, bgr=self.bgr, damage=item.damage)
            item.size = (item.image.shape[1], item.image.shape[0])
        if item.error is None:
            with item.stage("resize"):
                item.inputs = [resize(item.image, size) for size in self._input_sizes(item)]
        if not self.keep_image:
            item.image = None

    def _input_sizes(self, item: Item) -> list[tuple[int, int]]:
        sizes = []
        for scale in self.scales:
            edge = self.long_edge * scale
            size, capped = input_size(item.size, stride=self.stride, long_edge=edge, max_pixels=self.max_pixels)
            if capped:
                item.notes.append(
                    f"{item.name}: a network input with a longest side of {edge:g} pixels is made "
                    f"{size[0]} x {size[1]}, of at most {self.max_pixels} pixels"
                )
            sizes.append(size)
        return sizes

    def _run(self, items: Iterator[Item]) -> Iterator[Item]:
        """The network, over images of one size together."""
        while batch := list(itertools.islice(items, self.batch_size)):
            groups: dict[Any, list[Item]] = {}
            for item in batch:
                if item.error is None:
                    groups.setdefault(tuple(view.shape for view in item.inputs), []).append(item)
            for group in groups.values():
                self._run_group(group)
            yield from batch

    def _run_group(self, group: list[Item]) -> None:
        first = group[0]
        with first.stage("network"):
            views = [
                torch.from_numpy(np.stack([item.inputs[v] for item in group]))
                .to(self.device)
                .permute(0, 3, 1, 2)
                .float()
                for v in range(len(self.scales))
            ]
            with torch.inference_mode(), torch.autocast(self.device.type, enabled=self.autocast):
                seen = see(self.network, views, skeleton=self.skeleton, flip=self.flip, masks=self.masks)
            if self._stays_on_device:
                for n, item in enumerate(group):
                    rows = {name: array[n].contiguous() for name, array in seen.items()}
                    item.fields = DeviceFields(**rows, stride=self.stride, image_size=item.size)
            else:
                arrays = {name: array.cpu().numpy() for name, array in seen.items()}
                for n, item in enumerate(group):
                    own: dict[str, Any] = {name: np.ascontiguousarray(array[n]) for name, array in arrays.items()}
                    item.fields = Fields(**own, stride=self.stride, image_size=item.size)
            for item in group:
                item.inputs = []
        share, error = first.times["network"] / len(group), first.error
        for item in group:
            item.times["network"], item.error = share, error

    def _decode(self, items: Iterator[Item]) -> Iterator[Item]:
        """Poses and masks."""
        for item in items:
            if item.error is None:
                self._decode_one(item)
            yield item

    def _decode_one(self, item: Item) -> None:
        fields = item.fields
        assert fields is not None
        found = poses = masks = scores = kept = None
        with item.stage("decode"):
            found = decode_poses(
                fields.heatmaps, fields.short_offsets, fields.mid_offsets,
                stride=self.stride, skeleton=self.skeleton, options=self.options,
            )  # fmt: skip
            assert isinstance(found, Poses)
            poses = found.scaled(*fields.image_scale)
            if self.calibration is not None:
                poses = replace(poses, scores=self.calibration(poses.scores))
            if self.keep_fields:
                kept = fields.to_host() if isinstance(fields, DeviceFields) else fields
                kept = replace(kept, disk_radius=self._disk_radius)  # without which it would be decoded otherwise
        if self.masks and item.error is None:
            with item.stage("masks"):
                masks, scores = self._decode_masks(item, found, fields)
        if item.error is None:
            assert poses is not None
            item.prediction = Prediction(
                poses=poses,
                masks=masks,
                mask_scores=scores,
                image_size=item.size,
                times=item.times,
                fields=kept,
                image=item.image,
                skeleton=self.skeleton,
                damage=item.damage[0] if item.damage else "",
            )
        item.fields = item.image = None

    def _decode_masks(
        self, item: Item, found: Any, fields: Fields | DeviceFields
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        width, height = item.size
        most = _MASK_BYTES * self.max_pixels
        if len(found) * width * height > most:
            shrink = (most / (len(found) * width * height)) ** 0.5
            width, height = max(int(width * shrink), 1), max(int(height * shrink), 1)
            item.notes.append(
                f"{item.name}: {len(found)} masks of {item.size[0]} x {item.size[1]} pixels are made "
                f"{width} x {height}, of at most {most} bytes together"
            )
        made: Any = decode_masks(
            found, fields.segmentation, fields.long_offsets,
            short_offsets=fields.short_offsets, stride=self.stride, size=(height, width), options=self.mask_options,
            return_scores=True,
        )  # fmt: skip
        masks, scores = (array.cpu().numpy() if isinstance(array, torch.Tensor) else array for array in made)
        return masks, scores
