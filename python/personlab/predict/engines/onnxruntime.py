"""Networks in ONNX Runtime, on processors and by whatever providers it has."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import onnxruntime

from personlab.arrays.numbers import as_integer
from personlab.predict.engines.layout import count_cores, find_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

_CPU = "CPUExecutionProvider"
_PROVIDERS = {"cpu": _CPU, "cuda": "CUDAExecutionProvider"}  # by kind of device
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
_QUIET = 3  # errors alone are logged
_MAX_STREAMS = 4


def devices() -> tuple[str, ...]:
    """Return the kinds of devices that ONNX Runtime can use here."""
    available = onnxruntime.get_available_providers()
    return tuple(device for device, provider in _PROVIDERS.items() if provider in available)


def precisions(device: str) -> tuple[str, ...]:  # noqa: ARG001  # it has no 16 bits of its own on any
    """Return what a device computes natively, the one to prefer first."""
    return ("float32",)


def open_engine(content: bytes, *, device: str, precision: str, options: Mapping[str, Any]) -> OnnxRuntimeEngine:
    """Return the engine of an ONNX file.

    Args:
        content: of the file.
        device: "cpu" or "cuda", with ":" and the number of a GPU where it is not the first.
        precision: "float32".
        options: `providers`, passed to `onnxruntime.InferenceSession`, in place of the device's; `threads` of one run.

    Raises:
        TypeError, ValueError: options that are unknown or of the wrong type, a provider that is not installed, or
            content that ONNX Runtime cannot run.
    """
    if unknown := sorted(set(options) - {"providers", "threads"}):
        raise ValueError(
            f"engine_options: expected the names providers, threads for onnxruntime, got {', '.join(unknown)}"
        )
    providers = options.get("providers")
    if providers is None:
        kind, _, number = device.partition(":")
        own = _PROVIDERS[kind]
        providers = [_CPU] if own == _CPU else [(own, {"device_id": int(number or 0)}), _CPU]
    names = [one[0] if isinstance(one, (list, tuple)) else one for one in providers]
    available = onnxruntime.get_available_providers()
    for name in names:
        if name not in available:
            raise ValueError(f"engine_options.providers: expected some of {', '.join(available)}, got {name!r}")
    threads = as_integer(options.get("threads", count_cores()), "engine_options.threads", 1, 1024)
    return OnnxRuntimeEngine(content, providers, precision=precision, threads=threads)


class OnnxRuntimeEngine:
    """Runs the content of an ONNX file.

    Args:
        content: of the file.
        providers: as `onnxruntime.InferenceSession` takes them.
        precision: of its weights.
        threads: of one run.
    """

    name, device = "onnxruntime", None

    def __init__(self, content: bytes, providers: Sequence[Any], *, precision: str, threads: int) -> None:
        self.precision, self.streams = precision, min(threads, _MAX_STREAMS)  # which share the threads of the session
        self._content, self._providers, self._threads = content, list(providers), threads
        self._abandoned: list[Any] = []
        self._reopening = threading.Lock()
        self._open()
        inputs = [(_TYPES.get(one.type, one.type), [side if isinstance(side, int) else None for side in one.shape])
                  for one in self._session.get_inputs()]  # fmt: skip
        self._layout = find_layout(inputs)
        self._input = self._session.get_inputs()[0].name
        self._outputs = {output.name for output in self._session.get_outputs()}
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True  # computes no output that is not asked for

    def _open(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self._threads, _QUIET
        # A thread that waits for work leaves its core to the other stages of the pipeline.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(self._content, options, providers=self._providers)
        except Exception as error:  # noqa: BLE001  # of its own classes, which share no other base
            raise ValueError(f"expected a network that ONNX Runtime can run, got another ({error})") from None
        self._process = os.getpid()

    def prepare(self, names: Sequence[str], *, streaming: bool = False) -> None:
        """Do nothing: the session was made when it was opened."""

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return outputs by name; those that the network lacks are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the outputs that are wanted.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        if self._process != os.getpid():  # a forked child has none of the session's threads
            with self._reopening:
                if self._process != os.getpid():
                    self._abandoned.append(self._session)  # whose end would wait for them
                    self._open()
        self._layout.check(images)
        wanted = [name for name in names if name in self._outputs]
        feed = {self._input: self._layout.lay_out(images)}
        return dict(zip(wanted, self._session.run(wanted, feed, self._run_options), strict=True))
