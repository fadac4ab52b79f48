"""Networks in OpenVINO, on processors."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import openvino

from personlab.predict.engines.layout import count_cores, find_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES = {"bfloat16": "BF16", "float32": "FP32"}  # the first is the one to prefer
_INPUTS = {"u8": "uint8", "f32": "float32"}
_MAX_STREAMS = 4


def devices() -> tuple[str, ...]:
    """Return the kinds of devices that OpenVINO can use here, of those that this library knows."""
    return ("cpu",)


def precisions(device: str) -> tuple[str, ...]:  # noqa: ARG001  # there is one
    """Return what a device computes natively, the one to prefer first."""
    native = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name, capability in _CAPABILITIES.items() if capability in native)


def open_engine(content: bytes, *, device: str, precision: str, options: Mapping[str, Any]) -> OpenVinoEngine:  # noqa: ARG001
    """Return the engine of an ONNX file.

    Args:
        content: of the file.
        device: "cpu".
        precision: one of `PRECISIONS`.
        options: properties of OpenVINO's CPU device by name, such as `INFERENCE_NUM_THREADS`.

    Raises:
        ValueError: options that OpenVINO does not know, or content that it cannot run.
    """
    return OpenVinoEngine(content, precision=precision, options=options)


class _Compiled(NamedTuple):
    """A network as OpenVINO runs it: some of its outputs, in one or several runs at once."""

    model: Any
    names: tuple[str, ...]  # of the outputs
    requests: queue.SimpleQueue[Any]  # that wait for a run


class OpenVinoEngine:
    """Runs the content of an ONNX file.

    A run that is alone has all cores; runs at the same time have their own: threads that share an image wait for each
    other, a quarter of their time on two cores, and for longer where another stage takes one of the cores. Each of the two is compiled when it is first needed, in a third of a second for MobileNetV1.
    Sizes are free in both: a folder of images has dozens, and compiling for each takes longer than it saves.

    Args:
        content: of the file.
        precision: that it computes in.
        options: properties of the CPU device.
    """

    name, device = "openvino", None

    def __init__(self, content: bytes, *, precision: str, options: Mapping[str, Any]) -> None:
        self.precision = precision
        own = options.get("NUM_STREAMS")
        self.streams = own if type(own) is int and own > 0 else min(count_cores(), _MAX_STREAMS)
        self._content, self._options = content, dict(options)
        self._abandoned: list[Any] = []
        self._reopening = threading.Lock()
        self._open()

    def prepare(self, names: Sequence[str]) -> None:
        """Compile what the first run with these outputs needs.

        Raises:
            ValueError: OpenVINO cannot.
        """
        self._compile(self._wanted(names), alone=True)

    def _open(self) -> None:
        self._lock, self._running = threading.Lock(), 0
        self._compiled: dict[tuple[tuple[str, ...], bool], _Compiled] = {}
        self._core = openvino.Core()
        try:
            self._graph = self._core.read_model(self._content, b"")
        except RuntimeError as error:
            raise ValueError(f"expected a network that OpenVINO can run, got another ({_line(error)})") from None
        self._names = [output.get_any_name() for output in self._graph.outputs]
        self._layout = find_layout([(_type_of(one), _shape_of(one)) for one in self._graph.inputs])
        self._process = os.getpid()

    def _wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self._names)

    def _compile(self, names: tuple[str, ...], *, alone: bool) -> _Compiled:
        with self._lock:
            if (names, alone) not in self._compiled:
                properties = {
                    "INFERENCE_PRECISION_HINT": _TYPES[self.precision],
                    "INFERENCE_NUM_THREADS": count_cores(),
                    "NUM_STREAMS": 1 if alone else self.streams,
                    **self._options,
                }
                graph = openvino.Model([self._graph.output(name) for name in names], self._graph.get_parameters())
                try:
                    model = self._core.compile_model(graph, "CPU", properties)
                except RuntimeError as error:
                    raise ValueError(
                        f"expected a network and engine_options that OpenVINO can run, got others ({_line(error)})"
                    ) from None
                self._compiled[names, alone] = _Compiled(model, names, queue.SimpleQueue())
            return self._compiled[names, alone]

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return outputs by name; those that the network lacks are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the outputs that are wanted.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        if self._process != os.getpid():  # a forked child has none of the threads that compute
            with self._reopening:
                if self._process != os.getpid():
                    self._abandoned += [self._compiled, self._core]  # whose ends would wait for these threads
                    self._open()
        self._layout.check(images)
        wanted = self._wanted(names)
        with self._lock:
            self._running += 1
            alone = self._running == 1
        try:
            compiled = self._compile(wanted, alone=alone)
            try:
                request = compiled.requests.get_nowait()
            except queue.Empty:
                request = compiled.model.create_infer_request()
            request.infer([self._layout.lay_out(images)], share_inputs=True)
            # Copies: the next run writes over the request's own.
            outputs = {name: np.array(request.get_output_tensor(n).data) for n, name in enumerate(wanted)}
            compiled.requests.put(request)
            return outputs
        finally:
            with self._lock:
                self._running -= 1


def _type_of(one: Any) -> str:
    name: str = one.element_type.get_type_name()
    return _INPUTS.get(name, name)


def _shape_of(one: Any) -> list[int | None]:
    return [side.get_length() if side.is_static else None for side in one.partial_shape]


def _line(error: Exception) -> str:
    """Return the line of OpenVINO's errors that says what happened: the last of them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:500] if lines else type(error).__name__
