"""How a network was scored, and so how it is used: data that travels in a checkpoint beside the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.metrics.calibration import Calibration
from personlab.options import DecodeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAWN, PHOTOGRAPHS = "drawn scenes", "photographs"  # domains
SCENES_GENERATOR = "personlab scenes"  # in `info` of the files that this command writes
_DEFAULT_RADIUS = DecodeOptions().disk_radius


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a network is used with where nothing else is asked for; None where that is not known.

    Training stores what it scores the network with. `Predictor` and the commands take these as defaults.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    long_edge: int | None = None
    """longest side of the network input, pixels"""

    stride: int | None = None
    """input pixels from cell to cell of the output; `ModelConfig.stride` is that of training"""

    disk_radius: float | None = None
    """R, input pixels: radius of the discs that the heatmaps were trained on"""

    category: str | None = None
    """name of the annotations' category"""

    labelled_only: bool | None = None
    """whether images in which nobody has labelled keypoints are left out"""

    domain: str | None = None
    """what the network was trained on: "drawn scenes" (`DRAWN`) or "photographs" (`PHOTOGRAPHS`)"""

    calibration: Calibration | None = None
    """what instance scores are worth; `Predictor` gives expected OKS in their place"""

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        if self.long_edge is not None:
            freeze(self, "long_edge", as_integer(self.long_edge, "long_edge", 1))
        if self.stride is not None:
            freeze(self, "stride", as_integer(self.stride, "stride", 1, 4096))
        if self.disk_radius is not None:
            freeze(self, "disk_radius", as_number(self.disk_radius, "disk_radius", 1e-3, 4096))
        for name, kind in (
            ("category", str), ("labelled_only", bool), ("domain", str), ("calibration", Calibration),
        ):  # fmt: skip
            if getattr(self, name) is not None:
                check_type(getattr(self, name), name, kind)

    def to_dict(self) -> dict[str, Any]:
        """What is known, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """What `to_dict` gave; names that only a newer version knows are left out.

        Raises:
            TypeError, ValueError: a value of the wrong type or out of range.
        """
        known = {field.name for field in fields(cls)}
        try:
            given = {name: value for name, value in values.items() if name in known}
            if given.get("calibration") is not None:
                given["calibration"] = Calibration.from_dict(given["calibration"])
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"settings.{error}") from None

    def decoding(self, options: DecodeOptions, *, disk_radius: float | None = None) -> DecodeOptions:
        """The options with the network's disc radius, unless another is asked for.

        Args:
            options: how poses are decoded; a `disk_radius` other than the default of `DecodeOptions` is asked for.
            disk_radius: R, input pixels, whatever the options and the network say.
        """
        if disk_radius is None and options.disk_radius == _DEFAULT_RADIUS:
            disk_radius = self.disk_radius
        return options if disk_radius is None else replace(options, disk_radius=disk_radius)

    def __str__(self) -> str:
        """What scoring depends on, in the words of the commands; empty where nothing is known."""
        words = [f"{name.replace('_', ' ')} {value:g}" for name, value in self._numbers() if value is not None]
        words += [f"category {self.category}"] if self.category is not None else []
        words += ["labelled images only"] * bool(self.labelled_only)
        return ", ".join(words + ["calibrated scores"] * (self.calibration is not None))

    def _numbers(self) -> list[tuple[str, float | None]]:
        return [("long_edge", self.long_edge), ("stride", self.stride), ("disk_radius", self.disk_radius)]
