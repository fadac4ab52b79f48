"""Names of partitions: the folder of a source's rows, as readers of Parquet understand it."""

from __future__ import annotations

from urllib.parse import quote

from personlab.batch.units import key_of

_LONGEST = 200  # bytes of a folder's name: file systems take 255
_KEPT = 160


def partition_of(source: str) -> str:
    """Return the folder source=NAME, the name percent-encoded; of a long one, its end and a number of its own."""
    name = quote(source.encode("utf-8", "backslashreplace"), safe="")
    if len(name) > _LONGEST:
        end = name[-_KEPT:]
        cut = next((at for at in range(3) if end[at] == "%"), 0) if "%" in end[:3] else 0
        name = f"{key_of('source', source)}~{end[cut:]}"
    return f"source={name}"
