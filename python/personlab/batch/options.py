"""Options of a job on many workers."""

from __future__ import annotations

from dataclasses import dataclass

from personlab.arrays.numbers import as_integer, as_number


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How a job is divided and where it runs; none of these changes a row.

    Attributes:
        actors: workers, each of which holds the network [as many as the cores, or the GPUs, are enough for]
        cores: cores of each worker [4, or all where there are fewer]
        gpus: GPUs of each worker, fractions too [1 if Ray knows of GPUs and --device is none of a processor, else 0]
        address: Ray cluster to run on, as host:port or auto [this machine alone]
        part: max number of images in a unit of work, which is done or not; of a Parquet file, at least one row group
        piece: min number of frames in a piece of a video: videos of two or more are shared by several workers; 0 keeps
            them whole
        column: column of Parquet files that holds the image files [the first one of bytes]

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a value out of range.
    """

    actors: int | None = None
    cores: int | None = None
    gpus: float | None = None
    address: str | None = None
    part: int = 256
    piece: int = 256
    column: str | None = None

    def __post_init__(self) -> None:
        for name in ("actors", "cores"):
            if getattr(self, name) is not None:
                as_integer(getattr(self, name), name, 1, 1_000_000)
        if self.gpus is not None:
            as_number(self.gpus, "gpus", 0, 1024)
        as_integer(self.part, "part", 1, 100_000)
        as_integer(self.piece, "piece", 0, 1_000_000)
        for name in ("address", "column"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                raise TypeError(f"{name}: expected a text, got {type(getattr(self, name)).__name__}")
