"""What is installed: version, compiler, instruction sets, devices."""

from __future__ import annotations

import platform

from personlab import _core
from personlab.arrays import cuda_module

__version__: str = _core.version


def build_info() -> dict[str, str]:
    """Returns facts about this installation that a bug report needs.

    Returns:
        version, compiler, build type, machine, Python, instruction set in use, and whether CUDA can be
        used, with the reason where it cannot.
    """
    return {
        "version": __version__,
        "compiler": _core.compiler,
        "build type": _core.build_type,
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "instruction set": f"{_core.instruction_set} (of {_core.instruction_sets}; PERSONLAB_ISA chooses)",
        "cuda": cuda_module.describe(),
    }
