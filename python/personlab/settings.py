"""Settings that a network was scored with and is used with, stored in a checkpoint beside the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.calibration import Calibration
from personlab.options import DecodeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

DRAWN, PHOTOGRAPHS = "drawn scenes", "photographs"  # domains
SCENES_GENERATOR = "personlab scenes"  # in `info` of the annotations that `personlab scenes` writes
_DEFAULT_RADIUS = DecodeOptions().disk_radius


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Defaults for using a network; None where unknown.

    Training stores what it scores the network with. `Predictor` and the commands use these unless asked otherwise.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    long_edge: int | None = None
    """longest side of the network input, pixels"""

    stride: int | None = None
    """input pixels from cell to cell of the output; `ModelConfig.stride` is that of training"""

    disk_radius: float | None = None
    """R, input pixels: radius of the discs of the training heatmaps"""

    category: str | None = None
    """name of the annotations' category"""

    labelled_only: bool | None = None
    """whether images without labelled keypoints are left out"""

    domain: str | None = None
    """training images: "drawn scenes" (`DRAWN`) or "photographs" (`PHOTOGRAPHS`)"""

    calibration: Calibration | None = None
    """map from instance scores to expected OKS, which `Predictor` returns in their place"""

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
        """Return the settings that are known, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Read what `to_dict` returned; unknown names, of a newer version, are left out.

        Raises:
            TypeError, ValueError: a value of the wrong type or out of range.
        """
        known = {field.name for field in fields(cls)}
        try:
            own = {name: value for name, value in values.items() if name in known}
            if own.get("calibration") is not None:
                own["calibration"] = Calibration.from_dict(own["calibration"])
            return cls(**own)
        except (TypeError, ValueError) as error:
            raise type(error)(f"settings.{error}") from None

    def decoding(self, options: DecodeOptions, *, disk_radius: float | None = None) -> DecodeOptions:
        """Return the options with the network's disc radius, unless another is asked for.

        Args:
            options: how poses are decoded; a `disk_radius` other than the default of `DecodeOptions` is asked for.
            disk_radius: R, input pixels, whatever the options and the network say.
        """
        if disk_radius is None and options.disk_radius == _DEFAULT_RADIUS:
            disk_radius = self.disk_radius
        return options if disk_radius is None else replace(options, disk_radius=disk_radius)

    def __str__(self) -> str:
        """Settings of scoring in the words of the commands; empty if unknown."""
        words = [f"{name.replace('_', ' ')} {value:g}" for name, value in self._numbers() if value is not None]
        words += [f"category {self.category}"] if self.category is not None else []
        words += ["labelled images only"] * bool(self.labelled_only)
        return ", ".join(words + ["calibrated scores"] * (self.calibration is not None))

    def _numbers(self) -> list[tuple[str, float | None]]:
        return [("long_edge", self.long_edge), ("stride", self.stride), ("disk_radius", self.disk_radius)]
