"""Counts the attempts at a unit, so that an image whose reading ends the whole process does not end the job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personlab.batch.storage import Store

FOLDER = "_tries"
_WHOLE = 2  # attempts at a unit as a whole; from the next one on, its images are read one by one
_EACH = 2  # attempts at an image, then


class Tries:
    """The attempts at one unit. An attempt that a kill ended counts as one of its own fault: nobody can tell.

    Args:
        store: of the job.
        key: of the unit.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._name = store, f"{FOLDER}/{key}"
        self._state: dict[str, Any] = {"whole": 0, "at": None, "ended": {}}
        if store.exists(self._name):
            self._state |= self._read()
        if (at := self._state["at"]) is not None:
            self._state["ended"][at] = self._state["ended"].get(at, 0) + 1
        self._state["at"] = None
        self._state["whole"] += 1
        self._write()

    @property
    def are_many(self) -> bool:
        """Whether images are to be read one by one."""
        return bool(self._state["whole"] > _WHOLE)

    def begin(self, name: str) -> bool:
        """Note the image that is read next, and return whether to read it: not once it has ended processes before."""
        self._state["at"] = None if self._state["ended"].get(name, 0) >= _EACH else name
        self._write()
        return self._state["at"] is not None

    def _read(self) -> dict[str, Any]:
        try:
            state = json.loads(self._store.read(self._name))
        except (OSError, ValueError):  # of a process that ended while it wrote
            return {}
        return state if isinstance(state, dict) and state.keys() == self._state.keys() else {}

    def _write(self) -> None:
        self._store.write(self._name, json.dumps(self._state).encode(), sync=False)
