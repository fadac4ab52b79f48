"""Configuration of a training run: read from a file, overridden by flags, saved beside the run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.data.augment import Augmentation
from personlab.methods import DEFAULT_METHOD, get_method
from personlab.methods.base import Method, NoOptions
from personlab.train.parts import DataOptions, EvaluationOptions, NetworkOptions, OptimizerOptions, check_choices
from personlab.train.read_config import read_options
from personlab.train.teacher_options import TeacherOptions

__all__ = ["DataOptions", "EvaluationOptions", "NetworkOptions", "OptimizerOptions", "TeacherOptions", "TrainConfig"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run.

    Attributes:
        output: folder for checkpoints, weights and logs
        steps: optimizer steps of the whole run; 0: as many as `passes` take
        passes: passes over the images, where `steps` is 0: at least 200 steps, at most 50,000, with ten evaluations
            unless `evaluation.every` is set
        batch_size: images per step, over all processes together
        seed: seed of the first weights, the order of images, augmentation and drawn scenes
        precision: number format of convolutions; heads and losses compute in float32
        device: device to train on [cuda if available, else cpu]
        threads: threads of PyTorch on the CPU [PyTorch's own choice]
        compile: compile the network with torch.compile
        log_every: steps between log lines
        checkpoint_every: steps between checkpoints: a killed run loses at most so many
        network: the network
        data: the data
        augmentation: how views differ from their images
        loss: the losses: the method's `loss_options`, its defaults where left out
        optimizer: how the weights are updated
        evaluation: how the network is scored
        method: whose network
        teachers: networks whose fields are learnt beside the labels: a list of objects with `weights`, `fields` and
            optionally `long_edge`, `stride`, `scales`, `flip` and `weight`
        teaching: the losses on these fields: the method's own options, its defaults where left out
        cache: folder that keeps the teachers' fields of each image [fields/ in the folder of downloads]

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    output: str = "run"
    steps: int = 10_000
    passes: float | None = None
    batch_size: int = 8
    seed: int = 0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str | None = None
    threads: int | None = None
    compile: bool = False
    log_every: int = 50
    checkpoint_every: int = 500
    network: NetworkOptions = field(default_factory=NetworkOptions)
    data: DataOptions = field(default_factory=DataOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: Any = None
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    method: str = DEFAULT_METHOD
    teachers: tuple[TeacherOptions, ...] = field(default=(), metadata={"flag": Any, "metavar": "JSON"})
    teaching: Any = None
    cache: str | None = None

    def __post_init__(self) -> None:
        method = get_method(self.method)
        for name, kind in _kinds(method).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, kind())
            check_type(getattr(self, name), name, kind)
        object.__setattr__(self, "teachers", _read_teachers(self.teachers))
        self._check_teachers()
        if self.passes is not None:
            as_number(self.passes, "passes", 0, above=True)
        as_integer(self.steps, "steps", 1 if self.passes is None else 0)
        for name in ("batch_size", "log_every", "checkpoint_every"):
            as_integer(getattr(self, name), name, 1)
        as_integer(self.seed, "seed", 0)
        if self.threads is not None:
            as_integer(self.threads, "threads", 1, 1024)
        check_choices(self, "")
        for part in (self.network, self.data, self.optimizer, self.evaluation):
            part.check()
        self._check_sources()

    def _check_sources(self) -> None:
        data, evaluation = self.data, self.evaluation
        needing = {name: getattr(data, name) for name in ("labelled_only", "held_out", "unlabelled")}
        if data.is_drawn and (data.instances or any(needing.values())):
            raise ValueError(f"data: expected annotations beside instances, {', '.join(needing)}, got none")
        if data.shards is not None and (data.annotations or data.images or data.instances):
            raise ValueError("data: expected either shards or annotations, images and instances, got both")
        if evaluation.annotations is None and data.held_out is None and evaluation.labelled_only:
            raise ValueError("evaluation: expected annotations beside labelled_only, got none")
        if evaluation.patience and evaluation.keep != "best":
            raise ValueError("evaluation.patience: expected evaluation.keep best, got last")
        if (data.annotations is None) != (data.images is None):
            raise ValueError("data: expected annotations and images together, got only one of them")
        if (evaluation.annotations is None) != (evaluation.images is None):
            raise ValueError("evaluation: expected annotations and images together, got only one of them")
        if data.is_drawn and evaluation.annotations is None and evaluation.scene_seed == self.seed:
            raise ValueError(f"evaluation.scene_seed: expected another than seed, got {self.seed} for both")

    def _check_teachers(self) -> None:
        if self.teachers and get_method(self.method).teaching is None:
            raise ValueError(f"teachers: expected none, for networks of {self.method} cannot be taught by others")
        if self.network.fit_heads and not self.teachers:
            raise ValueError("network.fit_heads: expected teachers to fit heads to, got none")
        if self.steps == 0 and self.data.is_drawn:
            raise ValueError("steps: expected an integer from 1, for drawn scenes have no passes, got 0")
        if self.data.unlabelled is not None and not self.teachers:
            raise ValueError("data.unlabelled: expected teachers to learn such images from, got none")
        if self.teachers and self.data.is_drawn:
            raise ValueError("teachers: expected data.annotations or data.shards, got none: drawn scenes are not kept")

    def to_json(self) -> str:
        """Return the configuration as text that `--config` reads."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """Read a configuration that `to_json` wrote; missing fields have their defaults.

        Raises:
            RecursionError, TypeError, ValueError: another text.
        """
        values = json.loads(text)
        name = values.get("method", DEFAULT_METHOD) if isinstance(values, dict) else DEFAULT_METHOD
        kinds: dict[str, Any] = {**_kinds(get_method(name)), "teachers": Any}  # which this class reads
        return read_options(cls, values, kinds=kinds)


def _kinds(method: Method) -> dict[str, type]:
    """Return the types of options that are a method's own, by name."""
    return {"loss": method.loss_options, "teaching": NoOptions if method.teaching is None else method.teaching.options}


def _read_teachers(teachers: Any) -> tuple[TeacherOptions, ...]:
    """Return teachers as options, which files and flags give as objects."""
    if not isinstance(teachers, (list, tuple)):
        raise TypeError(f"teachers: expected a list of objects, got {teachers!r}")
    read = []
    for number, one in enumerate(teachers):
        if isinstance(one, TeacherOptions):
            read.append(one)
            continue
        if not isinstance(one, dict):
            raise TypeError(f"teachers[{number}]: expected an object, got {one!r}")
        try:
            read.append(read_options(TeacherOptions, one))
        except (TypeError, ValueError) as error:
            raise type(error)(f"teachers[{number}].{error}") from None
    return tuple(read)
