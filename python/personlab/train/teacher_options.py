"""Teachers of a training run: networks whose fields a student learns beside the labels, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.io.resize import MAX_SIDE


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """A network whose fields are taught, and the setting that it is read at.

    Attributes:
        weights: the network, a file or a name as `load_model` takes it
        fields: names of the fields that it teaches, such as heatmaps, short_offsets or segmentation
        long_edge: longest side of its input at scale 1, pixels
        stride: of its output, input pixels [its own]
        scales: factors on `long_edge`; the fields of several are merged
        flip: whether it is shown the mirror image, too
        weight: of its fields in the mean, where several networks teach the same ones

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    weights: str
    fields: tuple[str, ...]
    long_edge: int = 641
    stride: int | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_type(self.weights, "weights", str)
        if not self.fields or len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields: expected at least one name and none twice, got {list(self.fields)}")
        as_integer(self.long_edge, "long_edge", 2, MAX_SIDE)
        if self.stride is not None:
            as_integer(self.stride, "stride", 1, 4096)
        if not self.scales:
            raise ValueError("scales: expected at least one, got none")
        for scale in self.scales:
            as_number(scale, "scales", 0, 64, above=True)
        check_type(self.flip, "flip", bool)
        as_number(self.weight, "weight", 0, above=True)
