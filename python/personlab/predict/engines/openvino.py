"""Networks in OpenVINO, on processors."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.predict.engines.layout import count_cores, find_layout
from personlab.predict.engines.openvino_heads import split_heads
from personlab.predict.engines.openvino_package import openvino
from personlab.predict.engines.openvino_process import PROCESS, never_end
from personlab.predict.engines.openvino_rounding import round_depthwise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    with PROCESS.busy():
        native = PROCESS.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
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

    trunk: Any
    heads: Any  # None where the trunk has all
    requests: queue.SimpleQueue[tuple[Any, Any]]  # of both, that wait for a run

    def run(self, images: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Return copies of the outputs: the next run writes over the request's own."""
        try:
            trunk, heads = self.requests.get_nowait()
        except queue.Empty:
            trunk = self.trunk.create_infer_request()
            heads = None if self.heads is None else self.heads.create_infer_request()
        trunk.infer([images], share_inputs=True)
        last = trunk
        if heads is not None:
            heads.infer([*trunk.output_tensors, images], share_inputs=True)
            last = heads
        outputs = [np.array(tensor.data) for tensor in last.output_tensors]
        self.requests.put((trunk, heads))
        return outputs


class OpenVinoEngine:
    """Runs the content of an ONNX file.

    A run that is alone has all cores; runs at the same time have their own: threads that share an image wait for each
    other, a quarter of their time on two cores, and for longer where another stage takes one of the cores. Each of the
    two is compiled when it is first needed, in a third of a second for MobileNetV1; prepared for streaming, the engine
    has only the second, which then serves runs that are alone, too. Sizes are free in both: a folder of images has
    dozens, and compiling for each takes longer than it saves.

    Args:
        content: of the file.
        precision: that it computes in.
        options: properties of the CPU device.
    """

    name, device = "openvino", None

    def __init__(self, content: bytes, *, precision: str, options: Mapping[str, Any]) -> None:
        self.precision = precision
        own = options.get("NUM_STREAMS")
        self._parallel = own if type(own) is int and own > 0 else min(count_cores(), _MAX_STREAMS)
        self.streams = 2 * self._parallel  # as many wait, so that none of OpenVINO's threads does
        self._options = dict(options)
        self._begin()
        try:
            with PROCESS.busy():
                self._graph = PROCESS.core.read_model(content, b"")
                if precision == "bfloat16":
                    round_depthwise(self._graph)
                self._names = [output.get_any_name() for output in self._graph.outputs]
                self._layout = find_layout([(_type_of(one), _shape_of(one)) for one in self._graph.inputs])
                if not self._layout.is_pixels:
                    self._graph, self._layout = _from_pixels(self._graph), self._layout._replace(is_pixels=True)
        except RuntimeError as error:
            raise ValueError(f"expected a network that OpenVINO can run, got another ({_line(error)})") from None
        PROCESS.engines.add(self)

    def _begin(self) -> None:
        self._lock, self._running = threading.Lock(), 0
        self._compiled: dict[tuple[tuple[str, ...], bool], _Compiled] = {}

    def forget(self) -> None:
        """Begin again in a forked child, which lacks the threads of what its parent compiled."""
        never_end(self._compiled)
        self._begin()

    def prepare(self, names: Sequence[str], *, streaming: bool = False) -> None:
        """Compile what the first run with these outputs needs.

        Args:
            names: of the outputs.
            streaming: whether for several runs at once rather than for one that is alone.

        Raises:
            ValueError: OpenVINO cannot.
        """
        with PROCESS.busy():
            self._compile(self._wanted(names), alone=not streaming)

    def _wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self._names)

    def _compile(self, names: tuple[str, ...], *, alone: bool) -> _Compiled:
        with self._lock:
            if (names, alone) not in self._compiled:
                properties = {
                    "INFERENCE_PRECISION_HINT": _TYPES[self.precision],
                    "INFERENCE_NUM_THREADS": count_cores(),
                    "NUM_STREAMS": 1 if alone else self._parallel,
                    **self._options,
                }
                graph = openvino.Model([self._graph.output(name) for name in names], self._graph.get_parameters())
                trunk, heads = (graph, None) if self.precision == "float32" else split_heads(graph)
                try:
                    first = PROCESS.core.compile_model(trunk, "CPU", properties)
                    properties["INFERENCE_PRECISION_HINT"] = "f32"
                    second = None if heads is None else PROCESS.core.compile_model(heads, "CPU", properties)
                except RuntimeError as error:
                    raise ValueError(
                        f"expected a network and engine_options that OpenVINO can run, got others ({_line(error)})"
                    ) from None
                self._compiled[names, alone] = _Compiled(first, second, queue.SimpleQueue())
            return self._compiled[names, alone]

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return outputs by name; those that the network lacks are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the outputs that are wanted.

        Raises:
            ValueError: images of a size that the network does not take.
        """
        self._layout.check(images)
        wanted = self._wanted(names)
        with PROCESS.busy(), self._counted() as alone:
            serves_alone = (wanted, True) in self._compiled or (wanted, False) not in self._compiled
            compiled = self._compile(wanted, alone=alone and serves_alone)
            return dict(zip(wanted, compiled.run(self._layout.lay_out(images)), strict=True))

    @contextlib.contextmanager
    def _counted(self) -> Iterator[bool]:
        """Count a run while it lasts, and tell whether it began alone."""
        with self._lock:
            self._running += 1
            alone = self._running == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._running -= 1


def _from_pixels(graph: Any) -> Any:
    """Return a network that lays out uint8 images (N, H, W, 3) itself, which its threads do as they read them."""
    steps = openvino.preprocess.PrePostProcessor(graph)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()


def _type_of(one: Any) -> str:
    name: str = one.element_type.get_type_name()
    return _INPUTS.get(name, name)


def _shape_of(one: Any) -> list[int | None]:
    return [side.get_length() if side.is_static else None for side in one.partial_shape]


def _line(error: Exception) -> str:
    """Return the line of OpenVINO's errors that says what happened: the last of them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:500] if lines else type(error).__name__
