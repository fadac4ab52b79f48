"""Training targets of Simple Pose: the annotations of an image as the maps of a perfect network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personlab import _core
from personlab.arrays.array import elements
from personlab.arrays.numbers import as_integer, as_size, check_type
from personlab.arrays.shapes import check_shape
from personlab.arrays.take import take
from personlab.methods.simple_pose.parts import COCO_PARTS, BodyParts
from personlab.methods.simple_pose.people import map_keypoints
from personlab.methods.simple_pose.target_options import TargetOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray, HostArray

_MAX_STRIDE = 256  # input pixels
_NUMBERS = elements("numbers", kinds="fiu")
_MASKS = elements("bool or uint8", "bool", "uint8")
_ELEMENTS = {"keypoints": _NUMBERS, "people": _MASKS, "counted": _MASKS}


@dataclass(frozen=True, eq=False, kw_only=True)
class MapTargets:
    """What a network has to output for one image, and how much each cell counts, on h x w cells of the maps.

    The centre of cell (i, j) is input pixel (x, y) = ((j + 0.5) * stride - 0.5, (i + 0.5) * stride - 0.5).
    """

    limbs: FloatArray  # (L, h, w) 0..1
    keypoints: FloatArray  # (K, h, w) 0..1
    person: FloatArray  # (1, h, w) 0..1, share of the pixels around that show a person
    brightest: FloatArray  # (1, h, w) max over the keypoints
    weights: FloatArray  # (1, h, w) 0..1, of all maps but that of persons
    person_weights: FloatArray  # (1, h, w) 0..1, of that
    stride: int  # input pixels from cell to cell

    def without_masks(self, region: NDArray[np.bool_] | None) -> MapTargets:
        """Returns the targets with persons that do not count in a region of unknown masks; None: anywhere.

        Args:
            region: (H, W) pixels of the network input.

        Raises:
            ValueError: a region of another shape.
        """
        (_, h, w), s = self.person.shape, self.stride
        if region is None:
            return replace(self, person_weights=np.zeros_like(self.person_weights))
        check_shape(region, "region", (h * s, w * s), "(H, W)")
        known = ~region.reshape(h, s, w, s).any(axis=(1, 3))
        return replace(self, person_weights=self.person_weights * known.astype(np.float32))


def encode_targets(
    keypoints: Any,
    people: Any = None,
    counted: Any = None,
    *,
    size: tuple[int, int],
    stride: int,
    parts: BodyParts = COCO_PARTS,
    options: TargetOptions = TargetOptions(),  # noqa: B008  # frozen
    backend: Literal["cpu", "reference"] = "cpu",
) -> MapTargets:
    """Training targets for one image (Simple Pose, section 3.1).

    Args:
        keypoints: (P, K, 3) x, y, v for each person: input pixels, labelled where v > 0. K keypoints of `parts.person`,
            or of `parts.skeleton`, which has the neck.
        people: (H, W) bool, or uint8 0..255 for how much of a pixel is people; None where there are no masks.
        counted: (H, W) bool, or uint8 0..255 for how much a pixel counts; None: all do.
        size: (H, W) of the network input, multiples of the stride.
        stride: input pixels from cell to cell.
        parts: keypoints and limbs of the maps.
        options: how people become maps.
        backend: the compiled core, or the float64 reference in NumPy.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range.
    """
    check_type(parts, "parts", BodyParts)
    check_type(options, "options", TargetOptions)
    if backend not in ("cpu", "reference"):
        raise ValueError(f"backend: expected cpu or reference, got {backend!r}")
    given: Any = {"keypoints": keypoints, "people": people, "counted": counted}
    taken, *masks = take(given, _ELEMENTS, optional=["people", "counted"])
    stride = as_integer(stride, "stride", 1, _MAX_STRIDE)
    size = as_size(size, "size", "(H, W)", 1)
    if any(side % stride for side in size):
        raise ValueError(f"size: expected multiples of the stride {stride}, got {size}")
    own, person = parts.skeleton.n_keypoints, parts.person.n_keypoints
    if len(taken.shape) != 3 or taken.shape[1] not in (own, person) or taken.shape[2] != 3:
        raise ValueError(f"keypoints: expected shape (P, K, 3) with K = {person} or {own}, got {taken.shape}")
    for mask in masks:
        if mask is not None:
            check_shape(mask, mask.name, size, "(H, W)")
    shown: Any = taken.to_float32() if backend == "cpu" else taken.values.astype(np.float64)
    if not np.isfinite(shown[shown[..., 2] > 0]).all() or np.isnan(shown[..., 2]).any():
        raise ValueError("keypoints: expected finite coordinates where v > 0, got NaN or infinity")
    if shown.shape[1] != own or own == person:
        shown = map_keypoints(shown, parts)
    covers = [None if mask is None else _cover(mask) for mask in masks]
    arrays: dict[str, Any]
    if backend == "reference":
        from personlab.methods.simple_pose.backends import reference

        arrays = reference.encode_targets(
            shown, *covers, size=size, stride=stride, skeleton=parts.skeleton, options=options
        )
    else:
        arrays = _core.encode_maps(
            keypoints=shown, people=covers[0], counted=covers[1], size=size, stride=stride,
            limbs=parts.skeleton.edges, options=options.native,
        )  # fmt: skip
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    known = arrays["weights"] if people is not None else np.zeros_like(arrays["weights"])
    return MapTargets(**arrays, person_weights=known, stride=stride)


def _cover(mask: HostArray) -> NDArray[np.uint8]:
    """Returns a mask as 0..255."""
    values = mask.contiguous()
    return values.view(np.uint8) * np.uint8(255) if values.dtype == np.bool_ else values
