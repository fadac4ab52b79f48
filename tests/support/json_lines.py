"""Files of `personlab predict --jsonl`, as tests read them."""

from __future__ import annotations

import json
from pathlib import Path


def lines(name="r.jsonl"):
    """The lines of a file."""
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def without_run(records):
    """Lines without what tells one run from another."""
    return [{key: value for key, value in record.items() if key != "run"} for record in records]
