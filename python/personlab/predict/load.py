"""From weights of any kind to one record: what a predictor needs to know of a network, and the engine that runs it."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from personlab.io.console import log
from personlab.methods import method_of
from personlab.nn.config import check_choice
from personlab.predict.engines import ENGINES, PRECISIONS, check_engine, choose_precision
from personlab.predict.exported import exported, read_facts, source_of
from personlab.settings import Settings
from personlab.weights.exports import made_without_torch
from personlab.weights.onnx_file import is_quantised

if TYPE_CHECKING:
    from personlab.methods.base import Method
    from personlab.predict.engines import Engine
    from personlab.predict.exported import Facts, Source

_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")  # without which PyTorch has no device "cuda"


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedNetwork:
    """A network, ready to run."""

    method: Method
    config: Any
    """of the network, `Method.config`"""
    settings: Settings
    """what it was scored with, as far as it says"""
    engine: Engine
    device: Any
    """where the engine runs it: a `torch.device`, or the name of one"""
    weights: Any
    """as they were given"""
    module: Any = None
    """the network itself, where the engine runs modules"""

    @cached_property
    def network(self) -> Any:
        """The network as a `torch.nn.Module` on the CPU, or the one that the engine runs.

        Raises:
            ImportError, OSError, ValueError: it cannot be loaded, as of an exported file.
        """
        if self.module is not None:
            return self.module
        if not isinstance(self.weights, (str, os.PathLike)):
            return self.weights
        from personlab.weights import load_model

        return load_model(self.weights, stride=self.config.stride)


def load_network(
    weights: Any,
    *,
    stride: int | None = None,
    device: Any = None,
    engine: str = "auto",
    precision: str = "auto",
    engine_options: Mapping[str, Any] | None = None,
    autocast: bool = False,
) -> LoadedNetwork:
    """Load a network into an engine.

    Args:
        weights: a network, what `load_model` takes, or an ONNX file that this library exported.
        stride: of its output; None: the one it was scored at, else its own.
        device: None: that of the network where `weights` is one, else CUDA where available, else the CPU.
        engine: one of `ENGINES`; "auto": PyTorch on GPUs and for networks in memory, else the first that is installed.
        precision: one of `PRECISIONS`; "auto": bfloat16 where processor and engine compute it natively, else float32;
            float32 for networks in memory, and for the few layers of quantised files that are not in whole numbers.
        engine_options: of `open_engine` of the engine.
        autocast: compute by torch in 16 bits, natively or not.

    Raises:
        ImportError: a package is missing that the engine, the kind of weights or their export needs.
        OSError: no such file, or a download failed.
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or weights that are damaged.
    """
    if isinstance(weights, LoadedNetwork):
        return weights
    check_engine(engine)
    check_choice(precision, "precision", ("auto", *PRECISIONS))
    if autocast:
        if engine not in ("auto", "torch") or precision != "auto":
            raise ValueError(
                f"autocast: expected the engine torch and no other precision, got {engine} and {precision}"
            )
        engine = "torch"
    if not isinstance(engine_options, (Mapping, NoneType)):
        raise TypeError(f"engine_options: expected a mapping, got {type(engine_options).__name__}")
    wish = _Wish(stride, device, engine, precision, dict(engine_options or {}), autocast)
    if not isinstance(weights, (str, os.PathLike)):
        return _load_live(weights, wish)
    if (file := _read_onnx(weights)) is not None:
        return _load_file(weights, *file, wish)
    return _load_weights(weights, wish)


@dataclass(frozen=True)
class _Wish:
    """What `load_network` is asked for."""

    stride: int | None
    device: Any
    engine: str
    precision: str
    options: dict[str, Any]
    autocast: bool


class _Place(NamedTuple):
    """An engine that runs files, with what it was checked to be able to do."""

    module: Any
    device: str
    precision: str
    options: Mapping[str, Any]


def _load_live(network: Any, wish: _Wish) -> LoadedNetwork:
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(network, torch.nn.Module) or not hasattr(network, "config"):
        raise TypeError(f"weights: expected a path, a name or a network with a config, got {type(network).__name__}")
    from personlab.nn.devices import find_device

    network = _at_stride(network.eval(), wish.stride)
    if wish.precision == "auto":
        wish = replace(wish, precision="float32")
    if wish.engine not in ("auto", "torch"):
        place = _find_place(wish.engine, wish)
        return _open_file(network, _export_network(network, {}, "the network"), place)
    if wish.device is None:
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    else:
        device = find_device(wish.device)
        network = network.to(device)
    return _open_module(network, network, device, wish)


def _load_file(weights: Any, content: bytes, facts: Facts, wish: _Wish) -> LoadedNetwork:
    """Load an ONNX file that this library exported."""
    stride = facts.config.stride
    if wish.stride not in (None, stride):
        raise ValueError(f"stride: expected {stride}, as the exported file {weights} has, got {wish.stride}")
    if wish.engine == "torch":
        raise ValueError(f"engine: expected openvino or onnxruntime for the exported file {weights}, got torch")
    engine = wish.engine
    if engine == "auto":
        engine = next((name for name in _installed() if ENGINES[name].runs == "files"), "onnxruntime")
        check_engine(engine)
    if wish.precision == "auto" and is_quantised(content):  # to convert between three types takes longer
        wish = replace(wish, precision="float32")
    try:
        return _open_file(weights, content, _find_place(engine, wish))
    except ValueError as error:
        raise ValueError(f"{weights}: {error}") from None


def _load_weights(weights: Any, wish: _Wish) -> LoadedNetwork:
    """Load a checkpoint or a published network: exported, or as it is."""
    engine = _choose(wish.device) if wish.engine == "auto" else wish.engine
    if ENGINES[engine].runs == "files":
        place, source = _find_place(engine, wish), source_of(weights, wish.stride)
        try:
            content = made_without_torch(weights, stride=wish.stride, pixels=True)
            if content is None:  # it takes torch seconds to make: once is enough
                content = exported(source, lambda entries: _export(source, entries))
        except ImportError as error:
            if wish.engine != "auto" or "torch" not in _installed():
                raise
            log(f"warning: {error}; PyTorch runs the network instead")
        else:
            return _open_file(weights, content, place)
    import torch

    from personlab.nn.devices import find_device
    from personlab.weights import load_model

    device = find_device(wish.device)
    network = _at_stride(load_model(weights, stride=wish.stride, device=device), wish.stride)
    return _open_module(weights, network.to(memory_format=torch.channels_last), device, wish)


def _open_module(weights: Any, network: Any, device: Any, wish: _Wish) -> LoadedNetwork:
    from personlab.predict.engines import torch as engine

    if wish.autocast:
        precision = "float16" if device.type == "cuda" else "bfloat16"
    else:
        precision = choose_precision(wish.precision, engine.precisions(device), f"torch on {device}")
    return LoadedNetwork(
        method=method_of(network), config=network.config, settings=settings_of(network), device=device,
        engine=engine.open_engine(network, device=device, precision=precision, options=wish.options),
        weights=weights, module=network,
    )  # fmt: skip


def _find_place(engine: str, wish: _Wish) -> _Place:
    """Check that an engine which runs files can do what is asked for.

    Raises:
        ImportError, ValueError: it cannot.
    """
    module = ENGINES[engine].load()
    device = "cpu" if wish.device is None else str(wish.device)
    if device.partition(":")[0] not in module.devices():
        known = " or ".join(module.devices())
        raise ValueError(f"device: expected {known}, as {engine} can use here, got {device}")
    precision = choose_precision(wish.precision, module.precisions(device), f"{engine} on {device}")
    return _Place(module, device, precision, wish.options)


def _open_file(weights: Any, content: bytes, place: _Place) -> LoadedNetwork:
    facts = read_facts(content)
    assert facts is not None
    return LoadedNetwork(
        method=facts.method, config=facts.config, settings=facts.settings, device=place.device, weights=weights,
        engine=place.module.open_engine(
            content, device=place.device, precision=place.precision, options=place.options
        ),
    )  # fmt: skip


def _read_onnx(weights: Any) -> tuple[bytes, Facts] | None:
    """Return content and facts of an ONNX file that this library exported; None of anything else."""
    path = Path(weights)
    if path.suffix.lower() != ".onnx" or not path.is_file():
        return None
    content = path.read_bytes()
    try:
        facts = read_facts(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return None if facts is None else (content, facts)


def _export(source: Source, entries: dict[str, str]) -> bytes:
    try:
        from personlab.weights import load_model

        network = _at_stride(load_model(source.path, stride=source.stride), source.stride)
    except ImportError as error:
        raise _needs(error, str(source.path)) from None
    return _export_network(network, entries, str(source.path))


def _export_network(network: Any, entries: dict[str, str], name: str) -> bytes:
    settings = json.dumps(settings_of(network).to_dict(), sort_keys=True)
    try:
        from personlab.weights.export_pixels import export_pixels

        return export_pixels(network, {**entries, "personlab.settings": settings})
    except ImportError as error:
        raise _needs(error, name) from None
    except (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of many pages
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{name}: expected a network that can be exported, got another ({line}): use torch") from error


def _needs(error: ImportError, name: str) -> ImportError:
    return ModuleNotFoundError(
        f"{name} has to be exported once, which needs {error.name}: pip install 'personlab[full]', or export it "
        "elsewhere",
        name=error.name,
    )


def _installed() -> list[str]:
    return [name for name, kind in ENGINES.items() if kind.is_installed]


def _choose(device: Any) -> str:
    """Return the engine of weights that any engine could run; torch where none is installed, whose error says so."""
    on_gpu = _has_cuda() if device is None else str(device) != "cpu"
    installed = _installed() or ["torch"]
    return "torch" if on_gpu and "torch" in installed else installed[0]


def _has_cuda() -> bool:
    """Return whether PyTorch can use CUDA; without a driver, without importing PyTorch, which takes seconds."""
    if find_spec("torch") is None or not ("torch" in sys.modules or any(map(_can_load, _DRIVERS))):
        return False
    import torch

    return torch.cuda.is_available()


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def settings_of(network: Any) -> Settings:
    """Return what the network was scored with, as far as it says."""
    settings = getattr(network, "settings", None)
    return settings if isinstance(settings, Settings) else Settings()


def _at_stride(network: Any, stride: int | None) -> Any:
    wanted = settings_of(network).stride if stride is None else stride
    return network if wanted in (None, network.config.stride) else network.at_stride(wanted).eval()
