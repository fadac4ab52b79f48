"""Scoring the network of a run on held-out pictures, as `personlab evaluate` does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.data.annotations import read_annotations
from personlab.data.coco import People, make_annotations
from personlab.data.pictures import check_files
from personlab.data.synthetic import numbered_scene
from personlab.evaluate import average_precision, has_labels, has_outlines, index_for_scoring
from personlab.nn.config import check_stride
from personlab.options import DecodeOptions
from personlab.predict import Predictor
from personlab.predict.dataset import Results, predict_dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.nn import PersonLab
    from personlab.train.config import TrainConfig


class Evaluation:
    """The held-out pictures of a run.

    Args:
        config: of the run; drawn scenes are like those trained on, of another seed.
        model: what is to be scored.

    Raises:
        OSError: the annotations or their folder are missing.
        ValueError: not COCO's format, pictures that are missing, other keypoints than the network's, or a stride that
            it cannot have.
    """

    def __init__(self, config: TrainConfig, model: PersonLab) -> None:
        self._options = options = config.evaluation
        self._category = config.data.category
        self._decoding = DecodeOptions(min_score=0.0, disk_radius=config.loss.disk_radius)
        self._scenes: list[NDArray[Any]] = []
        self.notes: tuple[str, ...] = ()  # what was left out, a line each
        if options.stride is not None:
            check_stride(options.stride)
        if options.annotations is not None:
            assert options.images is not None
            # Whatever is wrong with them is to be told before the first step.
            read = read_annotations(options.annotations, self._category).of_skeleton(model.config.skeleton)
            check_files(Path(options.images), read.names())
            self._annotations, self.notes = index_for_scoring(read, options.labelled_only), read.notes
            return
        held_out = [
            numbered_scene(options.scene_seed, number, size=config.data.scene_size, people=config.data.scene_people)
            for number in range(options.scenes)
        ]
        self._scenes = [scene.image for scene in held_out]
        self._annotations = make_annotations(
            {
                number: People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool))
                for number, scene in enumerate(held_out)
            }
        )

    def score(self, model: PersonLab) -> dict[str, float]:
        """COCO's average precision of keypoints and masks, and how long it took, in the words of the log."""
        start = time.perf_counter()
        training = model.training
        predictor = Predictor(
            model, stride=self._options.stride, long_edge=self._options.long_edge, options=self._decoding
        )
        try:
            results = self._predict(predictor)
        finally:
            model.train(training)
        found: dict[str, Any] = {}
        if has_labels(self._annotations):
            found["keypoint_ap"] = ("keypoints", results.keypoints)
        if predictor.has_masks and has_outlines(self._annotations):
            found["mask_ap"] = ("segm", results.masks)
        figures = {
            name: average_precision(
                self._annotations, listed, kind, sigmas=model.config.skeleton.sigmas, category=self._category
            ).ap
            for name, (kind, listed) in found.items()
        }
        return {**figures, "evaluation_seconds": time.perf_counter() - start}

    def _predict(self, predictor: Predictor) -> Results:
        if self._options.images is not None:
            results = predict_dataset(predictor, self._annotations, self._options.images)
            if results.problems:
                name, error = next(iter(results.problems.items()))
                raise ValueError(f"{name}: {error}")
            return results
        results = Results()
        with predictor.stream(self._scenes) as stream:
            for number, prediction in enumerate(stream):
                results.keypoints += prediction.to_coco(number)
                if prediction.masks is not None:
                    results.masks += prediction.masks_to_coco(number)
        return results
