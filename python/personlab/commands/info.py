"""`personlab info`: what is installed, for bug reports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from personlab.info import build_info

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

SUMMARY = "tell what is installed"
USAGE = ""
DESCRIPTION = "Print what is installed: version, compiler, instruction sets, devices."


def add_arguments(parser: ArgumentParser) -> None:
    """Nothing: the command takes no arguments."""


def run(_: Any) -> None:
    """Print facts about the installation as aligned lines."""
    facts = build_info()
    width = max(map(len, facts))
    for name, value in facts.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")
