"""Runs units on Ray: on this machine or on a cluster, on actors that hold one network each."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from personlab.batch.cores import pin
from personlab.batch.setup import EngineError, Outcome
from personlab.batch.work import Divider, Worker
from personlab.io.console import describe_error
from personlab.predict.engines.layout import count_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from personlab.batch.options import BatchOptions
    from personlab.batch.setup import Setup
    from personlab.batch.units import Unit

_CORES = 4  # of a worker: no engine runs more images at once
_STORE = 256 << 20  # bytes of shared memory on this machine: units are small, for workers read the images themselves
_ATTEMPTS = 3  # to start Ray
_AT_ONCE = 2  # units of a worker: the network has the images of one while the rows of the other are written
_AHEAD = 4  # units that are ready for each call of a worker, before more files are divided
_REACHED = 10.0  # seconds in which a cluster's address answers
_NEEDLESS, _LOG = ("start_monitor", "start_api_server"), "start_log_monitor"  # steps of Ray's start
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # as that of `personlab predict`, not 15
    "RAY_raylet_client_connect_timeout_milliseconds": "20",  # until Ray's parts look for each other again, not 1000
    "RAY_raylet_client_num_connect_attempts": "1500",
}
INSTALL = "batch needs Ray: pip install 'personlab[ray]'"


@dataclass(frozen=True)
class Layout:
    """How many workers there are, and what each of them has."""

    actors: int
    cores: int
    gpus: float


def import_ray() -> Any:
    """Return Ray, without statistics of its usage and without lines of its own on the terminal.

    Raises:
        ImportError: it is not installed; the line says how to do so.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ImportError(INSTALL, name=error.name) from None
    return ray


class Pool:
    """Actors on Ray, for the length of a `with` block.

    Args:
        options: where and how many.
        uses_gpus: whether workers may have GPUs.
        verbose: whether Ray's log is shown.
        meanwhile: what is done while Ray starts; what it raises is raised once Ray runs, and ends it.

    Raises:
        ConnectionError: no such cluster.
        ImportError: Ray is not installed.
        ValueError: more workers than it has room for.
    """

    def __init__(
        self,
        options: BatchOptions,
        *,
        uses_gpus: bool = True,
        verbose: bool = False,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self._ray = import_ray()
        self._options, self._verbose, self._uses_gpus, self._meanwhile = options, verbose, uses_gpus, meanwhile
        self._level = logging.INFO if verbose else logging.CRITICAL
        self.layout = Layout(1, 1, 0)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if not self._verbose:
                stack.enter_context(_quiet())
            stack.callback(self._ray.shutdown)
            with ThreadPoolExecutor(1) as side:
                aside = side.submit(self._meanwhile)  # Ray's start mostly waits for its processes
                self._start()
            aside.result()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        options = self._options
        quiet: dict[str, Any] = {"logging_level": self._level, "log_to_driver": self._verbose}
        if options.address is not None:
            _check_address(options.address)
            self._connect(address=options.address, **quiet)
        else:
            asked = (options.actors or 1) * (options.cores or 1)  # may be more than there are: a wish is a wish
            self._connect(
                address="local", num_cpus=max(count_cores(), asked), include_dashboard=False,
                object_store_memory=_STORE, **quiet, **({} if self._uses_gpus else {"num_gpus": 0}),
            )  # fmt: skip
        self.layout = self._lay_out()
        logging.getLogger("ray").setLevel(self._level)

    def _connect(self, **arguments: Any) -> None:
        """Start Ray, or reach a cluster: a machine with much else to do may miss the moment that Ray waits for.

        Raises:
            ConnectionError: it does not start, or there is no such cluster.
        """
        is_here = self._options.address is None
        steps = (*_NEEDLESS, *(() if self._verbose else (_LOG,))) if is_here else ()
        for left in reversed(range(_ATTEMPTS if is_here else 1)):
            before = _children()
            try:
                with _left_out(steps):
                    self._ray.init(**arguments)
            except Exception as error:  # noqa: BLE001  # Ray raises that class itself
                steps = ()  # another version of Ray may not do without
                self._ray.shutdown()
                for process in _children() - before:  # Ray leaves those that did start
                    process.kill()
                if not left:
                    where = "to start" if is_here else f"a cluster at {self._options.address}"
                    raise ConnectionError(f"expected Ray {where}, got: {' '.join(str(error).split())}") from None
            else:
                return

    def _gpus(self) -> float:
        """Return the GPUs of a worker."""
        if self._options.gpus is not None:
            return float(self._options.gpus)
        return 1.0 if self._uses_gpus and self._ray.cluster_resources().get("GPU", 0) >= 1 else 0.0

    def _lay_out(self) -> Layout:
        """Return how many workers there are, and what each of them has.

        Raises:
            ValueError: there is no room for them, which Ray would wait for.
        """
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = self._gpus()
        cores = self._options.cores or max((_cores_of(node, gpus) for node in nodes), default=1)

        def room(node: dict[str, float]) -> int:
            own = int(node.get("CPU", 0) // cores)
            return min(own, int(node.get("GPU", 0) / gpus)) if gpus else own

        places = sum(map(room, nodes))
        actors = self._options.actors or places
        if not 0 < actors <= places:
            raise ValueError(
                f"actors: expected room for {actors or 'one'} of {cores} cores{f' and {gpus:g} GPUs' if gpus else ''} "
                f"each, got room for {places}"
            )
        return Layout(actors, cores, gpus)

    def run(self, units: Iterable[Unit], setup: Setup) -> Iterator[Outcome]:
        """Do units, and yield what became of each as it is done.

        Args:
            units: in their order.
            setup: of the job.

        Raises:
            EngineError: the network cannot be made ready, or fails on all images.
            OSError: results cannot be written.
        """
        errors = self._ray.exceptions
        try:
            for outcome in self._run(iter(units), setup):
                if isinstance(outcome, Exception):
                    raise outcome
                yield outcome
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise EngineError(f"Ray gave up: {reason[0].strip()}: the same command goes on") from None

    def _run(self, units: Iterator[Unit], setup: Setup) -> Iterator[Outcome | Exception]:
        """Hand out units to workers that have room, and yield what these give back.

        Tasks of Ray divide what is to be shared by workers. One that is alone divides it itself.
        """
        ray, layout = self._ray, self.layout
        forever = {"max_restarts": -1, "max_task_retries": -1}  # whatever has ended a worker
        gpus = {"num_gpus": layout.gpus} if layout.gpus else {}
        worker = ray.remote(Annotator).options(num_cpus=layout.cores, max_concurrency=_AT_ONCE, **gpus, **forever)
        divide = ray.remote(_divide).options(
            num_cpus=0, max_retries=-1, num_returns="streaming", _generator_backpressure_num_objects=_AHEAD
        )
        own = [worker.remote(setup, None if layout.gpus else layout.cores) for _ in range(layout.actors)]
        free = deque(own * _AT_ONCE)  # a worker is there as often as it takes a unit
        enough = _AHEAD * len(free)
        ready: deque[Unit] = deque()
        calls: dict[Any, Any] = {}  # of workers
        dividing: set[Any] = set()
        while True:
            while len(ready) < enough and len(dividing) < layout.actors and (unit := next(units, None)) is not None:
                if unit.kind == "whole" and layout.actors > 1:
                    dividing.add(divide.remote(unit, setup))
                else:
                    ready.append(unit)
            while free and ready:
                actor = free.popleft()
                calls[actor.do.options(num_returns="streaming").remote(ready.popleft())] = actor
            waited = [*calls, *(dividing if len(ready) < enough else ())]
            if not waited:
                return
            for results in ray.wait(waited)[0]:
                try:
                    result = ray.get(next(results))
                except StopIteration:
                    if results in calls:
                        free.append(calls.pop(results))
                    dividing.discard(results)
                    continue
                if results in calls:
                    yield result
                else:
                    ready.append(result)


def _cores_of(node: dict[str, float], gpus: float) -> int:
    """Return the cores of a worker on a node: all of its GPUs are to have some."""
    workers = max(int(node.get("GPU", 0) / gpus), 1) if gpus else 1
    return max(min(int(node.get("CPU", 0)) // workers, _CORES), 1)


def _children() -> set[Any]:
    """Return the processes that this one has started, and theirs."""
    import psutil  # Ray brings it along

    return set(psutil.Process().children(recursive=True))


@contextlib.contextmanager
def _left_out(steps: Iterable[str]) -> Iterator[None]:
    """Leave out steps of Ray's start, where it has them; each starts a process that a job on one machine does not need.

    These are the autoscaler, which adds machines; the head of the dashboard, which Ray starts and waits for even
    without a dashboard; and what copies the log of workers to the terminal.
    """
    from ray._private.node import Node

    before = {name: getattr(Node, name) for name in steps if hasattr(Node, name)}
    for name in before:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, step in before.items():
            setattr(Node, name, step)


class _Stderr(io.TextIOWrapper):
    """Leaves out what Ray's threads write."""

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        return len(text) if threading.current_thread().name.startswith("ray_") else super().write(text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Send what Ray writes to standard error to nowhere: its compiled parts, and its threads; other lines reach it."""
    sys.stderr.flush()
    own = os.dup(2)
    before, nowhere = sys.stderr, os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with _Stderr(open(own, "wb", 0, closefd=False), errors="backslashreplace", write_through=True) as sys.stderr:
            yield
    finally:
        sys.stderr = before
        os.dup2(own, 2)
        os.close(own)


def _check_address(address: str) -> None:
    """Check that something answers at HOST:PORT or ray://HOST:PORT; Ray itself waits for minutes.

    Raises:
        ConnectionError: nothing does.
    """
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        host, port = parts.hostname, parts.port
        if host is None or port is None:  # auto, and what else Ray knows
            return
        socket.create_connection((host, port), timeout=_REACHED).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"expected a Ray cluster at {address}, got: {error}") from None


def _divide(unit: Unit, setup: Setup) -> Iterator[Unit]:
    """Yield the units that a file is divided into."""
    yield from Divider(setup).divide(unit)


class Annotator:
    """Does units in a process of its own, which Ray calls by this name."""

    def __init__(self, setup: Setup, cores: int | None) -> None:
        import ray

        warnings.simplefilter("ignore", RuntimeWarning)  # damage, which is among the errors
        self._problem: Exception | None = None
        try:
            self._slot = None if cores is None else pin(cores)
            self._divider = Divider(setup)
            self._worker = Worker(setup, {"node": ray.get_runtime_context().get_node_id()})
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            self._problem = EngineError(describe_error(error))

    def do(self, unit: Unit) -> Iterator[Outcome | Exception]:
        """Yield what became of a unit, or of each one that it is divided into; last an error that ends the job."""
        if self._problem is not None:
            yield self._problem
            return
        try:
            for own in self._divider.divide(unit):
                yield self._worker.do(own)
        except EngineError as error:
            yield error
        except OSError as error:  # of the results: those of inputs are rows
            yield OSError(error.errno, error.strerror, error.filename) if error.errno else OSError(str(error))
