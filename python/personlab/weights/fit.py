"""What a file says of a network's weights, compared with the network before memory is given to either."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from personlab.methods import Method

LONGEST_HEADER = 4 << 20  # bytes of a safetensors file that are not weights; a network's have some 10 thousand
_SHOWN = 3  # names in an error message


def read_limited(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is longer.
    """
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path.name}: expected at most {limit} bytes, got {path.stat().st_size}")
    return content


def check_header(path: str | os.PathLike[str]) -> None:
    """Refuse a safetensors file whose header is too long to be read.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is.
    """
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if LONGEST_HEADER < length <= Path(path).stat().st_size:  # else it is no safetensors file
        raise ValueError(f"{path}: expected a header of at most {LONGEST_HEADER} bytes, got {length}")


def check_fit(method: Method, config: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Check that weights of these shapes are those of a method's network, without memory for the network.

    Raises:
        ValueError: names or shapes are not the network's.
    """
    import torch

    with torch.device("meta"):  # tensors without memory
        expected = method.network(config).state_dict()
    check_shapes({name: value.shape for name, value in expected.items()}, shapes)


def check_shapes(expected: Mapping[str, Sequence[int]], got: Mapping[str, Sequence[int]]) -> None:
    """Compare the names and shapes of weights with a network's.

    Raises:
        ValueError: they are not the network's.
    """
    for problem, names in (
        ("missing", [name for name in expected if name not in got]),
        ("not of this network", [name for name in got if name not in expected]),
    ):
        if names:
            raise ValueError(f"weights {problem}: {some(names)}")
    for name, shape in got.items():
        if tuple(shape) != tuple(expected[name]):
            raise ValueError(f"{name}: expected shape {tuple(expected[name])}, got {tuple(shape)}")


def some(names: Iterable[Any], shown: int = _SHOWN) -> str:
    """The first names of a list for a message, and how many more there are."""
    words = [str(name)[:80] for name in names]
    return ", ".join(words[:shown]) + (f" and {len(words) - shown} more" if len(words) > shown else "")
