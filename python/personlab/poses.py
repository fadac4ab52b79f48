"""The result of decoding: the poses of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from personlab.arrays.host import take_on_host
from personlab.arrays.numbers import as_integer
from personlab.arrays.shapes import check_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.arrays.array import FloatArray


@dataclass(frozen=True, eq=False)
class Poses:
    """P poses of K keypoints, best first. Coordinates are (x, y) pixels; an integer value is a pixel centre.

    Args:
        keypoints: (P, K, 2).
        keypoint_scores: (P, K), s_jk: the score of each keypoint under the chosen scoring.
        scores: (P,), instance scores.
        keypoint_probabilities: (P, K), p_jk: the heatmap's probability at each keypoint, by which masks weigh;
            the keypoint scores where a caller leaves it out.

    Raises:
        TypeError: an argument is no float array.
        ValueError: shapes disagree.
    """

    keypoints: FloatArray
    keypoint_scores: FloatArray
    scores: FloatArray
    keypoint_probabilities: FloatArray = cast("FloatArray", None)  # noqa: RUF009

    def __post_init__(self) -> None:
        if cast("FloatArray | None", self.keypoint_probabilities) is None:
            object.__setattr__(self, "keypoint_probabilities", self.keypoint_scores)
        names = ("keypoints", "keypoint_scores", "scores", "keypoint_probabilities")
        keypoints, keypoint_scores, scores, probabilities = arrays = [take_on_host(getattr(self, n), n) for n in names]
        check_shape(keypoints, "keypoints", (None, None, 2), "(P, K, 2)")
        count, k = keypoints.shape[:2]
        check_shape(keypoint_scores, "keypoint_scores", (count, k), "(P, K)")
        check_shape(probabilities, "keypoint_probabilities", (count, k), "(P, K)")
        check_shape(scores, "scores", (count,), "(P,)")
        for array in arrays:
            object.__setattr__(self, array.name, array.to_float32())

    @classmethod
    def _trusted(cls, arrays: tuple[FloatArray, FloatArray, FloatArray, FloatArray]) -> Poses:
        """Poses of (keypoints, keypoint_scores, keypoint_probabilities, scores) that a backend has made."""
        poses = object.__new__(cls)
        state = poses.__dict__
        state["keypoints"], state["keypoint_scores"], state["keypoint_probabilities"], state["scores"] = arrays
        return poses

    @property
    def boxes(self) -> FloatArray:
        """(P, 4): the tight box (x0, y0, x1, y1) of each pose's keypoints."""
        if self.keypoints.size == 0:
            return np.zeros((len(self), 4), np.float32)
        return np.concatenate([self.keypoints.min(axis=1), self.keypoints.max(axis=1)], axis=1)

    def __repr__(self) -> str:
        count, keypoints = self.keypoint_scores.shape
        best = f", scores {self.scores.max():.3f} to {self.scores.min():.3f}" if count else ""
        return f"Poses({count} of {keypoints} keypoints{best})"

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> Poses:
        """Returns the poses that an integer, a slice, or an array of indices or booleans selects; always `Poses`.

        Raises:
            IndexError: out of range.
        """
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index {index} is out of range for {len(self)} poses")
            index = slice(int(index) % len(self), int(index) % len(self) + 1)
        return Poses(
            self.keypoints[index], self.keypoint_scores[index], self.scores[index], self.keypoint_probabilities[index]
        )

    def __iter__(self) -> Iterator[Poses]:
        return (self[i] for i in range(len(self)))

    def scaled(self, sx: float, sy: float) -> Poses:
        """Returns the same poses with x multiplied by `sx` and y by `sy`.

        From a network input of W x H to its image of w x h pixels: ``scaled((w - 1) / (W - 1), (h - 1) / (H - 1))``.
        """
        keypoints = self.keypoints * np.array([sx, sy], np.float32)
        return Poses(keypoints, self.keypoint_scores, self.scores, self.keypoint_probabilities)

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Returns one COCO result dict for each pose: image_id, category_id 1, keypoints x, y, s_jk in one list, score.

        Raises:
            TypeError: `image_id` is no integer.
        """
        image_id = as_integer(image_id, "image_id")  # NumPy's int64 is not JSON
        triples = np.concatenate([self.keypoints, self.keypoint_scores[..., None]], axis=2)
        return [
            {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": [round(float(value), 4) for value in triples[j].ravel()],
                "score": float(self.scores[j]),
            }
            for j in range(len(self))
        ]
