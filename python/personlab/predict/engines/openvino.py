"""Networks in OpenVINO, on processors."""

from __future__ import annotations

import os
import queue
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from personlab.predict.engines.layout import count_cores, find_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_INPUTS = {"u8": "uint8", "f32": "float32"}


def devices() -> tuple[str, ...]:
    """Return the kinds of devices that OpenVINO can use here, of those that this library knows."""
    return ("cpu",)


def precisions(device: str) -> tuple[str, ...]:  # noqa: ARG001  # there is one
    """Return what a device computes natively, the one to prefer first."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name, short in (("bfloat16", "BF16"), ("float32", "FP32")) if short in capabilities)


def open_engine(content: bytes, *, device: str, precision: str, options: Mapping[str, Any]) -> OpenVinoEngine:  # noqa: ARG001
    """Return the engine of an ONNX file.

    Args:
        content: of the file.
        device: "cpu".
        precision: one of `PRECISIONS`.
        options: properties of OpenVINO's CPU device by name, such as `INFERENCE_NUM_THREADS`.

    Raises:
        TypeError, ValueError: options that are unknown or of the wrong type, or content that OpenVINO cannot run.
    """
    return OpenVinoEngine(content, precision=precision, options=options)


class OpenVinoEngine:
    """Runs the content of an ONNX file.

    Args:
        content: of the file.
        precision: that it computes in.
        options: properties of the CPU device.
    """

    name, device = "openvino", None
    streams: int

    def __init__(self, content: bytes, *, precision: str, options: Mapping[str, Any]) -> None:
        self.precision = precision
        self._content = content
        cores = count_cores()
        # A core runs an image alone: threads that share an image wait for each other, a quarter of their time on two
        # cores, and for longer where another stage takes one of the cores.
        self._properties = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "NUM_STREAMS": cores,
            "INFERENCE_NUM_THREADS": cores,
            **options,
        }
        self._open()

    def _open(self) -> None:
        try:
            core = openvino.Core()
            model = core.read_model(self._content, b"")
            shapes = [
                (_INPUTS.get(one.element_type.get_type_name(), one.element_type.get_type_name()),
                 [side.get_length() if side.is_static else None for side in one.partial_shape])
                for one in model.inputs
            ]  # fmt: skip
            self._layout = find_layout(shapes)
            self._model = core.compile_model(model, "CPU", self._properties)
        except RuntimeError as error:
            raise ValueError(f"expected a network that OpenVINO can run, got another ({error})") from None
        self.streams = int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._places = {output.get_any_name(): n for n, output in enumerate(self._model.outputs)}
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._process = os.getpid()

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return outputs by name; those that the network lacks are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the outputs that are wanted.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        if self._process != os.getpid():  # a forked child has none of its threads
            self._open()
        self._layout.check(images)
        try:
            request = self._requests.get_nowait()
        except queue.Empty:
            request = self._model.create_infer_request()
        try:
            request.infer([self._layout.lay_out(images)], share_inputs=True)
            places = {name: self._places[name] for name in names if name in self._places}
            # Copies: the next run writes over the request's own.
            return {name: np.array(request.get_output_tensor(place).data) for name, place in places.items()}
        finally:
            self._requests.put(request)
