"""Engines run networks: each takes pixels and returns outputs by name, and knows no method."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from personlab.nn.config import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

EngineName = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
PRECISIONS = ("float32", "bfloat16", "float16")


class Engine(Protocol):
    """Runs one network; any number of threads may call `run` at once, and so may a forked process."""

    name: str
    """in the table of engines"""

    precision: str
    """element type that it computes in: "float32", "bfloat16" or "float16"; results are float32 in any case"""

    streams: int
    """number of threads that may call `run` at once with gain"""

    device: Any
    """where outputs are left: a `torch.device`, or None for NumPy arrays"""

    def prepare(self, names: Sequence[str], *, streaming: bool = False) -> None:
        """Make what runs with these outputs need, so that what cannot be made is said before the first image.

        Args:
            names: of the outputs.
            streaming: whether runs come from as many threads as `streams`, rather than one at a time.

        Raises:
            ValueError: it cannot.
        """

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, Any]:
        """Return the outputs of these names that the network has, float32 with a leading axis N.

        Args:
            images: (N, H, W, 3) RGB, in any memory layout.
            names: of the outputs; an engine computes no others where it can.

        Raises:
            ValueError: images of a size that the network does not take.
        """


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """One row of the table of engines."""

    module: str
    """with `devices()`, `precisions(device)`, the one that "auto" takes first, and `open_engine(...)`"""
    package: str
    """what it imports"""
    extra: str
    """of personlab, that installs the package"""
    runs: Literal["modules", "files"]
    """what `open_engine` takes: `torch.nn.Module`, or the content of an ONNX file"""

    @property
    def is_installed(self) -> bool:
        """Whether its package can be imported, as far as can be said without importing it."""
        return find_spec(self.package) is not None

    def load(self) -> Any:
        """Return the module of the engine.

        Raises:
            ImportError: the package is not installed, or does not work.
        """
        return import_module(self.module)


ENGINES: Mapping[str, EngineKind] = MappingProxyType(
    {
        "openvino": EngineKind(
            module="personlab.predict.engines.openvino", package="openvino", extra="openvino", runs="files"
        ),
        "onnxruntime": EngineKind(
            module="personlab.predict.engines.onnxruntime", package="onnxruntime", extra="onnx", runs="files"
        ),
        "torch": EngineKind(
            module="personlab.predict.engines.torch", package="torch", extra="full", runs="modules"
        ),
    }
)  # fmt: skip
"""engines by name; on a CPU, "auto" takes the first that is installed"""


def check_engine(name: Any) -> None:
    """Check the name of an engine.

    Raises:
        ImportError: its package is not installed.
        ValueError: no name of an engine, nor "auto".
    """
    check_choice(name, "engine", ("auto", *ENGINES))
    if name != "auto" and not ENGINES[name].is_installed:
        kind = ENGINES[name]
        raise ModuleNotFoundError(
            f"engine: expected an engine that is installed, got {name}: pip install 'personlab[{kind.extra}]'",
            name=kind.package,
        )


def choose_precision(asked: Any, offered: Sequence[str], where: str) -> str:
    """Return the precision asked for, or the first that an engine offers.

    Args:
        asked: name, or "auto".
        offered: of the engine on its device, the one to prefer first.
        where: engine and device, for the message.

    Raises:
        ValueError: no name of a precision, or one that the engine does not compute natively there.
    """
    check_choice(asked, "precision", ("auto", *PRECISIONS))
    if asked == "auto":
        return offered[0]
    if asked not in offered:
        raise ValueError(f"precision: expected {' or '.join(offered)}, as {where} computes natively, got {asked}")
    return str(asked)
