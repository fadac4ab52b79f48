"""What tests need to run programs in processes of their own: the folder of these helpers, and instruction sets."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

from personlab import _core

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]


def run_with_isa(code, isa, *arguments):
    """Run a Python program with kernels of one instruction set."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PERSONLAB_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )


@functools.cache
def runnable_isas():
    """The instruction sets of this build that this processor has."""
    names = _core.instruction_sets.split(", ")
    return [name for name in names if run_with_isa("import personlab", name).returncode == 0]
