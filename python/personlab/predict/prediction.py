"""Result of prediction: the people of one image, in its own pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from personlab.poses import Poses


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """The P people of one image, best first."""

    poses: Poses
    """pixels of the image"""

    masks: NDArray[np.bool_] | None
    """(P, H, W) of the image's pixels, or smaller by `Predictor.max_pixels`; None if not asked for or if the network
    has none"""

    mask_scores: NDArray[np.float32] | None = None
    """(P,) by which masks are ranked, see `personlab.decode_masks`; None without masks"""

    image_size: tuple[int, int]
    """(w, h) of the image, pixels, its EXIF orientation followed"""

    times: Mapping[str, float] = field(default_factory=dict)
    """milliseconds of each stage: read, resize, network, decode, masks; the network's share where it ran a batch. Where
    poses are decoded on the GPU, "network" is the time to queue its work, for which "decode" waits"""

    fields: Any = None
    """of the network, in pixels of its input: `personlab.Fields`, or those of another method; if asked for"""

    image: NDArray[np.uint8] | None = None
    """(H, W, 3) RGB, the image as read; if asked for"""

    skeleton: Skeleton = COCO_PERSON
    """the keypoints and edges of the poses"""

    track_ids: NDArray[np.int64] | None = None
    """(P,) identities over the frames of a video, from 1, -1 for none; None unless tracked (`Predictor.track`)"""

    damage: str = ""
    """damage of the image's file, of which only a part could be decoded; empty if it is sound"""

    def __repr__(self) -> str:
        masks = "no masks" if self.masks is None else f"masks {self.masks.shape}"
        kept = [name for name in ("fields", "image") if getattr(self, name) is not None]
        parts = [repr(self.poses), masks, f"image_size {self.image_size}", *kept, *["damaged file"] * bool(self.damage)]
        return f"Prediction({', '.join(parts)})"

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return COCO keypoint results, as `Poses.to_coco` does, with `track_id` where people are tracked."""
        return self._with_ids(self.poses.to_coco(image_id))

    def _with_ids(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add track_id, None for none, to each result, if there are ids."""
        if self.track_ids is not None:
            for result, track_id in zip(results, self.track_ids.tolist(), strict=True):
                result["track_id"] = track_id if track_id > 0 else None
        return results

    def masks_to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return COCO segmentation results, run-length encoded at the image's size, one for each person.

        Their scores are the mask scores, or those of the poses without.

        Raises:
            ValueError: the prediction has no masks.
        """
        from personlab.io.results import mask_results

        if self.masks is None:
            raise ValueError("masks: expected a prediction with masks, got one without")
        width, height = self.image_size
        if self.masks.shape[1:] == (height, width):
            return self._with_ids(mask_results(self.poses, self.masks, image_id, scores=self.mask_scores))
        results = []
        scores = self.poses.scores if self.mask_scores is None else self.mask_scores
        for j, mask in enumerate(self.masks):  # one at a time: together they are too large
            large = _enlarged(mask, (width, height))[None]
            results += mask_results(self.poses[j], large, image_id, scores=scores[j : j + 1])
        return self._with_ids(results)

    def draw(self, image: NDArray[np.uint8] | None = None, *, min_probability: float = 0.2) -> NDArray[np.uint8]:
        """Return the image with masks, if any, and poses over it.

        Args:
            image: (H, W, 3) uint8 RGB; the image itself if it was kept.
            min_probability: keypoints of a lower probability are left out.

        Raises:
            ValueError: no image, or one of another size.
        """
        import numpy as np

        from personlab import visualize

        image = self.image if image is None else image
        if image is None:
            raise ValueError("image: expected the image, for this prediction does not keep it, got None")
        masks = self.masks
        if masks is not None and masks.shape[1:] != image.shape[:2]:
            size = (image.shape[1], image.shape[0])
            masks = np.array([_enlarged(mask, size) for mask in masks], bool).reshape(-1, *image.shape[:2])
        return visualize.overlay(
            image, self.poses, masks, skeleton=self.skeleton, min_probability=min_probability, track_ids=self.track_ids
        )


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask at a size (W, H), each pixel as the nearest one of the smaller mask."""
    import numpy as np

    rows, columns = (
        np.minimum((np.arange(side) * (1 / (side / own))).astype(np.intp), own - 1)  # by the rounding of OpenCV
        for side, own in zip(size[::-1], mask.shape, strict=True)
    )
    enlarged: NDArray[np.bool_] = mask[rows[:, None], columns]
    return enlarged
