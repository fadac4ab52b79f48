"""Options of the top-down method: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from personlab.arrays.numbers import as_integer, as_number, as_size

CropRules = Literal["default", "original"]
MAX_CROP = 8192  # pixels each way


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
