"""Options of the top-down method: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab._cached import Cached, PicklesFields
from personlab.arrays.numbers import as_integer, as_number, as_size

if TYPE_CHECKING:
    from personlab import _core

CropRules = Literal["default", "original"]
Rules = Literal["default", "tensorflow", "pytorch"]
Position = Literal["parabola", "dark", "quarter", "cell"]
Rescoring = Literal["confident", "mean", "box"]
DataSet = Literal["coco", "mpii", "posetrack"]
MAX_CROP = 8192  # pixels each way
_OUTSIDE = ("padding", "min_score")  # options of prediction that the compiled decoder does not see


def _choose(options: object, name: str, choices: tuple[str, ...]) -> None:
    if getattr(options, name) not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(options, name)!r}")


@dataclass(frozen=True, kw_only=True)
class CropOptions:
    """How people are cut out of an image (Simple Baselines, section 2).

    Attributes:
        size: (H, W) of the crops, pixels
        padding: factor on the box of a person, once it has the shape of a crop
        threads: threads that share the work of one call, the caller's included
        rules: this library's, or those of the originals (see `original`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    size: tuple[int, int] = (256, 192)
    padding: float = 1.25
    threads: int = 1
    rules: CropRules = "default"

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "size", as_size(self.size, "size", "(H, W)", 1))
        if max(self.size) > MAX_CROP:
            raise ValueError(f"size: expected at most {MAX_CROP} pixels each way, got {self.size}")
        freeze(self, "padding", as_number(self.padding, "padding", 0.01, 100))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
        _choose(self, "rules", get_args(CropRules))

    @classmethod
    def original(cls, **changes: Any) -> CropOptions:
        """Return options with which crops equal those of the originals (TensorFlow and PyTorch), number for number.

        Boxes are rounded to float32, and pixels are read at positions in 32nds of a pixel, as OpenCV 4 does.

        Args:
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range.
        """
        return cls(**{"rules": "original", **changes})


@dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """How a person in a crop becomes heatmaps (Simple Baselines, section 2).

    Attributes:
        sigma: of the Gaussian around a keypoint, cells: 2 for crops of 256 x 192, 3 for 384 x 288
        full_value: of a map at its keypoint
        threads: threads that share the work of one call, the caller's included
        rules: this library's, or an original's number for number (see `original`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    sigma: float = 2.0
    full_value: float = 1.0
    threads: int = 1
    rules: Rules = "default"

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "sigma", as_number(self.sigma, "sigma", 0.01, 1000))
        freeze(self, "full_value", as_number(self.full_value, "full_value", 1e-6, 1e6))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
        _choose(self, "rules", get_args(Rules))

    @classmethod
    def original(cls, part: Literal["tensorflow", "pytorch"] = "tensorflow", **changes: Any) -> TargetOptions:
        """Return options with which targets equal an original's, number for number.

        Both round the centre of a Gaussian to a cell. TensorFlow's reach 255, over the whole map, those of unlabelled
        keypoints too. PyTorch's reach 1, in a window of 3 sigmas; their centres are cut towards zero, and count unless
        the window lies outside of the map.

        Args:
            part: the program: TF-SimpleHumanPose or human-pose-estimation.pytorch.
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range, or no such part.
        """
        return cls(**{"full_value": _full_value(part), "rules": part, **changes})


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineOptions(PicklesFields):
    """Options of prediction: how people are cut out, and how poses are read from the heatmaps of one person each.

    Attributes:
        padding: factor on the box of a person, once it has the shape of a crop
        position: where a keypoint lies: at the vertex of parabolas through the logarithms of its map (exact for a
            Gaussian), at the maximum by DARK, a quarter cell from the highest towards its higher neighbours, or there
        blur: sigma of DARK's Gaussian filter, cells
        full_value: value of a map where a keypoint surely lies
        flip_shift: columns by which the maps of a mirrored crop are moved to the right once mirrored back
        rescoring: score of a pose: mean of the values above `keypoint_threshold` times the score of its box
            ("confident"), mean of all values ("mean"), or the score of its box ("box")
        keypoint_threshold: values up to it do not count in "confident"; a pose without others has score 0
        oks_threshold: poses more similar than this to a better one are dropped; 1 keeps all, in the order of boxes
        min_score: min score of a pose; 0 keeps all
        threads: threads that share the work of one call, the caller's included
        rules: this library's decoder, or an original's number for number (see `original`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    padding: float = 1.25
    position: Position = "parabola"
    blur: float = 2.0
    full_value: float = 1.0
    flip_shift: int = 1
    rescoring: Rescoring = "confident"
    keypoint_threshold: float = 0.2
    oks_threshold: float = 0.9
    min_score: float = 0.0
    threads: int = 1
    rules: Rules = "default"

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        for name, low, high in (
            ("padding", 0.01, 100), ("blur", 0.1, 16), ("full_value", 1e-6, 1e6), ("keypoint_threshold", -1e6, 1e6),
            ("oks_threshold", 0, 1), ("min_score", 0, 1),
        ):  # fmt: skip
            freeze(self, name, as_number(getattr(self, name), name, low, high))
        freeze(self, "flip_shift", as_integer(self.flip_shift, "flip_shift", 0, 1))
        freeze(self, "threads", as_integer(self.threads, "threads", 1, 1024))
        for name, choices in (
            ("position", get_args(Position)), ("rescoring", get_args(Rescoring)), ("rules", get_args(Rules)),
        ):  # fmt: skip
            _choose(self, name, choices)

    @classmethod
    def original(
        cls, part: Literal["tensorflow", "pytorch"] = "tensorflow", *, data_set: DataSet = "coco", **changes: Any
    ) -> SimpleBaselineOptions:
        """Return options with which decoding equals an original, number for number.

        Keypoints lie a quarter cell from the highest one, values may be negative, and of poses with one score the last
        comes first. TensorFlow's maps reach 255; PyTorch's reach 1, and one without a positive value has its keypoint
        in the first cell.

        Args:
            part: the program: TF-SimpleHumanPose or human-pose-estimation.pytorch.
            data_set: whose evaluation: "posetrack" ranks by the mean of all values, "mpii" keeps all poses.
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range, or no such part or data set.
        """
        full_value = _full_value(part)
        if data_set not in get_args(DataSet):
            raise ValueError(f"data_set: expected one of {', '.join(get_args(DataSet))}, got {data_set!r}")
        fixed: dict[str, Any] = {"position": "quarter", "full_value": full_value, "rules": part}
        if data_set == "posetrack":
            fixed["rescoring"] = "mean"
        if data_set == "mpii":
            fixed |= {"rescoring": "box", "oks_threshold": 1.0}
        return cls(**{**fixed, **changes})

    @Cached
    def native(self) -> _core.SimpleBaselineOptions:
        """Return the compiled core's copy of these options."""
        from personlab import _core

        names = [field.name for field in fields(self) if field.name not in _OUTSIDE]
        return _core.SimpleBaselineOptions(**{name: getattr(self, name) for name in names})


def _full_value(part: str) -> float:
    if part not in ("tensorflow", "pytorch"):
        raise ValueError(f"part: expected tensorflow or pytorch, got {part!r}")
    return 255.0 if part == "tensorflow" else 1.0
