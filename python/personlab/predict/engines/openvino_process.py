"""What all engines of OpenVINO in a process share: the Core, and that the process can be forked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from personlab.predict.engines.openvino_package import openvino

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Engine(Protocol):
    def forget(self) -> None:
        """Begin again in a forked child, and keep what the parent compiled from its end: see `never_end`."""


class Process:
    """OpenVINO in this process: one Core, which lasts as long as the process, and hooks that make forks safe.

    One Core: its CPU plugin replaces the signal stack of the thread that loads it, and puts the earlier one back at its
    end. Where two end in the order in which they began, that is a freed one: the next Ctrl-C would crash the process.

    A forked child has the memory of its parent, but one thread. Three things follow.

    - Locks inside OpenVINO, which each run takes, would stay taken in the child where another thread had them: a fork
      waits for the runs and compilations of other threads, and new ones wait for the fork.
    - OpenVINO keeps the threads of networks that have ended for the next one to be compiled, which in the child would
      wait for ever: they are ended before the fork. OpenVINO has no function for this, but the end of any CPU plugin
      does it (`ov::intel_cpu::Plugin::~Plugin`), in a millisecond. Networks in use keep theirs.
    - The end of a compiled network waits for its threads: in the child, engines compile again, and what the parent
      compiled never ends.
    """

    def __init__(self) -> None:
        self.core = openvino.Core()  # used while `busy`
        self.engines: weakref.WeakSet[_Engine] = weakref.WeakSet()
        self._changed = threading.Condition()
        self._busy: list[int] = []  # threads, by identifier: those in OpenVINO
        self._forking: set[int] = set()  # and those that fork
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._wait, after_in_parent=self._go_on, after_in_child=self._begin_again)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Keep other threads from forking the process."""
        me = threading.get_ident()
        with self._changed:  # a signal handler or a finalizer may run in the midst of what its own thread does
            self._changed.wait_for(lambda: not self._forking or me in self._busy)
            self._busy.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._busy.remove(me)
                self._changed.notify_all()

    def _wait(self) -> None:
        me = threading.get_ident()
        self._changed.acquire()
        self._forking.add(me)
        self._changed.wait_for(lambda: all(one == me for one in self._busy))
        openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")  # any property: it loads the plugin, which ends at once

    def _go_on(self) -> None:
        if threading.get_ident() in self._forking:  # else the fork began before this object did
            self._forking.remove(threading.get_ident())
            self._changed.notify_all()
            self._changed.release()

    def _begin_again(self) -> None:
        me = threading.get_ident()
        self._changed = threading.Condition()
        self._busy = [one for one in self._busy if one == me]
        self._forking.clear()
        for engine in self.engines:
            engine.forget()


PROCESS = Process()  # one, as OpenVINO's threads, a thread's signal stack and forks are the process's


def never_end(something: object) -> None:
    """Keep an object from its end, at the interpreter's own too: one reference to it is never given back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(something))
