"""Videos for methods that take boxes: who was in the frame before is looked for where optical flow moves them, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personlab.methods.base import Boxes
from personlab.predict.boxes import Boxed, boxes_of
from personlab.track.flow import Flow, join_boxes, propagate_boxes
from personlab.track.written import as_written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from personlab.poses import Poses
    from personlab.predict.frame import Frame
    from personlab.predict.pipeline import Pipeline
    from personlab.predict.prediction import Prediction
    from personlab.predict.predictor import Predictor
    from personlab.predict.stream import Stream


class Propagation:
    """Predicts the frames of one video in order (Simple Baselines, section 3.2).

    Boxes around the people of the frame before, moved by optical flow, join those of the finder; who has two boxes is
    one person after suppression by the similarity of poses. The method's own network sees one frame after another, for
    each needs the people before it.

    Args:
        predictor: with a finder.

    Raises:
        ImportError: OpenCV is missing.
        ValueError: a predictor without a finder.
    """

    def __init__(self, predictor: Predictor) -> None:
        pipeline = predictor._pipeline(keep_image=True)
        if pipeline.finder is None:
            raise ValueError(
                f"propagate: expected a network that takes boxes, and one that finds them, got {predictor.method.name}"
                " alone"
            )
        self._finder, self._own = pipeline.finder, replace(pipeline, finder=None, bgr=False)
        self._flow = Flow()
        self._before: Poses | None = None

    @property
    def finder(self) -> Pipeline:
        """What reads frames and finds their people; `deliver` takes its frames."""
        return self._finder

    def stream(self, images: Iterable[Any]) -> Stream[Prediction]:
        """Return an iterator over the predictions of frames, as `Predictor.stream` does; the finder works ahead."""
        return self._finder.stream(images, self.deliver)

    def see(self, image: NDArray[Any], poses: Poses) -> None:
        """Take a frame whose people are known already."""
        self._flow.advance(image)
        self._before = as_written(poses)

    def deliver(self, frame: Frame) -> Prediction:
        """Return the prediction of the next frame, whose people the finder has found.

        Raises:
            OSError, TypeError, ValueError: it could not be read or predicted; the frame after it has none before it.
        """
        before, self._before = self._before, None
        try:
            found = self._finder.deliver(frame)
        except BaseException:
            self._flow.reset()
            raise
        assert found.image is not None
        people = boxes_of(found) if frame.boxes is None else frame.boxes
        if before is None:
            self._flow.advance(found.image)
        else:
            moved = propagate_boxes(before, self._flow, found.image)
            people = Boxes(*join_boxes(*people, moved, before.scores))
        prediction = self._own.deliver(self._own.run(Boxed(found.image, *people)))
        self._before = as_written(prediction.poses)
        times = dict(found.times)
        for stage, value in prediction.times.items():
            times[stage] = times.get(stage, 0.0) + value
        return replace(prediction, times=times, damage=found.damage)
