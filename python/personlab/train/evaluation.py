"""Scoring the network of a run on held-out images, as `personlab evaluate` does."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from personlab.arrays.numbers import as_integer
from personlab.data.annotations import join, read_annotations
from personlab.data.coco import People, make_annotations
from personlab.data.images import check_files
from personlab.data.shards.shard_set import read_shards
from personlab.data.split import held_out_ids, only_images
from personlab.data.synthetic.scenes import numbered_scene
from personlab.io.resize import MAX_SIDE
from personlab.methods import method_of
from personlab.metrics.coco import index_for_scoring
from personlab.predict import Predictor
from personlab.predict.boxes import true_boxes
from personlab.predict.dataset import predict_dataset, score_results
from personlab.settings import Settings

if TYPE_CHECKING:
    from personlab.data.annotations import Annotations
    from personlab.train.config import DataOptions, TrainConfig


class Evaluation:
    """The held-out images of a run.

    Args:
        config: of the run; drawn scenes are like those trained on, of another seed.
        model: the network to score.

    Raises:
        OSError: the annotations or their folder are missing.
        ValueError: not COCO's format, images that are missing, other keypoints than the network's, or a stride that
            it cannot have.
    """

    def __init__(self, config: TrainConfig, model: Any) -> None:
        options = config.evaluation
        self._category = config.data.category
        self._images: Any = options.images  # the folder, or images by number
        self.notes: tuple[str, ...] = ()  # annotations that are left out, a line each
        data = config.data
        if options.annotations is not None or data.held_out is not None:
            # Mistakes in them are reported before the first step.
            if options.annotations is not None:
                read = read_annotations(options.annotations, self._category)
            else:
                self._images, read = _held_out(data)
            read = read.of_skeleton(model.config.skeleton)
            if not isinstance(self._images, Mapping):
                check_files(Path(self._images), read.names())
            self._annotations, self.notes = index_for_scoring(read, options.labelled_only), read.notes
            return
        held_out = [
            numbered_scene(options.scene_seed, number, size=config.data.scene_size, people=config.data.scene_people)
            for number in range(options.scenes)
        ]
        self._images = {number: scene.image for number, scene in enumerate(held_out)}
        self._annotations = make_annotations(
            {
                number: People(scene.keypoints, scene.masks, np.zeros(scene.image.shape[:2], bool))
                for number, scene in enumerate(held_out)
            }
        )

    def score(self, model: Any) -> dict[str, float]:
        """Return COCO's average precision of keypoints and masks, and the seconds it took, by their names in the log.

        Raises:
            ValueError: an image that cannot be read; it is named.
        """
        start = time.perf_counter()
        predictor = Predictor(_as_saved(model), options=method_of(model).every_pose)
        boxes = true_boxes(self._annotations, self._category) if predictor.method.takes_boxes else None
        results = predict_dataset(predictor, self._annotations, self._images, boxes=boxes)
        if results.problems:
            name, error = next(iter(results.problems.items()))
            raise ValueError(f"{name}: {error}")
        scores = score_results(
            self._annotations, results, predictor.skeleton, category=self._category, masks=predictor.masks
        )
        figures = {f"{kind}_ap": precision.ap for kind, precision in scores.items()}
        return {**figures, "evaluation_seconds": time.perf_counter() - start}


def _held_out(data: DataOptions) -> tuple[Any, Annotations]:
    """Return the images that are held out of training, a folder or images by their ids, and their annotations."""
    assert data.held_out is not None
    if data.shards is not None:
        read, stored = read_shards(data.shards, data.category)
        return stored, only_images(read, held_out_ids(data.held_out, read), data.held_out)
    assert data.annotations is not None
    read = read_annotations(data.annotations, data.category)
    ids = held_out_ids(data.held_out, read)
    if data.instances is not None:
        read = join(read, read_annotations(data.instances, read.category["name"], n_keypoints=0))
    return data.images, only_images(read, ids, data.held_out)


def scored_with(config: TrainConfig, network: Any, *, domain: str) -> Settings:
    """Return what a run scores its network with, to be stored beside the weights.

    Args:
        config: of the run.
        network: the configuration of the network in training.
        domain: of the images trained on.

    Raises:
        TypeError, ValueError: a stride that no network can have.
    """
    disk_radius = getattr(config.loss, "disk_radius", None)  # of methods whose targets are discs
    known = Settings(disk_radius=disk_radius, category=config.data.category, domain=domain)
    if not is_scored(config):
        return known
    options = config.evaluation
    return replace(
        known,
        long_edge=as_integer(options.long_edge, "evaluation.long_edge", 2, MAX_SIDE),
        stride=(network if options.stride is None else replace(network, stride=options.stride)).stride,
        labelled_only=options.labelled_only,
    )


def is_scored(config: TrainConfig) -> bool:
    """Return whether a run is scored: one on drawn scenes always, one on photographs if photographs are named."""
    data, evaluation = config.data, config.evaluation
    return data.is_drawn or evaluation.annotations is not None or data.held_out is not None


def _as_saved(model: Any) -> Any:
    """Return a copy as loaded from a file: in the memory layout whose convolutions round the same."""
    return copy.deepcopy(model).to(memory_format=torch.contiguous_format)
