"""What is installed: version, compiler, instruction sets, devices."""

from __future__ import annotations

import platform

from personlab import _core

__version__: str = _core.version


def build_info() -> dict[str, str]:
    """Facts about this installation that a bug report needs.

    Returns:
        version, compiler, build type, machine, Python, instruction sets the core was built for, and whether CUDA can be
        used, with the reason where it cannot.
    """
    return {
        "version": __version__,
        "compiler": _core.compiler,
        "build type": _core.build_type,
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "instruction sets": _core.instruction_sets,
        "cuda": "no: this version decodes on the CPU only",
    }
