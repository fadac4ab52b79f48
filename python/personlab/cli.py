"""The command line: its commands, its messages and its exit codes; data on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from personlab.commands.flags import UsageError, join_pairs
from personlab.info import __version__
from personlab.io.console import describe_error, printable
from personlab.io.interrupts import at_interrupts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jsonargparse import ArgumentParser

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130  # exit codes
COMMANDS = (
    "demo",
    "predict",
    "batch",
    "decode",
    "evaluate",
    "train",
    "plan",
    "convert",
    "convert-annotations",
    "shard",
    "export",
    "scenes",
    "split",
    "bench",
    "info",
)  # modules of personlab.commands, with _ for -, in the order of the help
# modules of optional dependencies, and those that `pip install --no-deps` leaves out
_EXTRAS = (
    "PIL", "cv2", "google", "hotcoco", "jsonargparse", "onnx", "onnxruntime", "onnxscript", "openvino",
    "pyarrow", "pycocotools", "ray", "safetensors", "scipy", "torch", "tqdm", "yaml",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; those of this process by default.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes of no encoding
    interrupts: list[None] = []
    with at_interrupts(lambda: interrupts.append(None)):
        try:
            config = _parse(list(sys.argv[1:] if argv is None else argv))
            if config is not None:
                _module(config.command).run(config)
            _flush_output()
        except UsageError as error:
            return _fail(str(error), USAGE)
        except KeyboardInterrupt:
            return _fail("interrupted", INTERRUPTED)
        except BrokenPipeError:  # the reader of stdout has closed it
            _forget_output()
            return FAILED
        except (
            FloatingPointError, ImportError, MemoryError, OSError, RecursionError, SystemError, TypeError, ValueError,
        ) as error:  # fmt: skip
            # A compiled module that Ctrl-C meets in its import raises these in place of KeyboardInterrupt.
            if interrupts and isinstance(error, ImportError | SystemError):
                return _fail("interrupted", INTERRUPTED)
            return _fail(_report(error), FAILED)
    return DONE


def _report(error: Exception) -> str:
    """Return the message of the error that ends a command, once what it has printed is written."""
    try:
        _flush_output()
    except OSError as output:
        if isinstance(error, OSError) and error.filename is None:  # it was standard output that failed
            error = output
    return _describe(error)


def _module(command: str) -> Any:
    return import_module(f"personlab.commands.{command.replace('-', '_')}")


def _flush_output() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_output()
        raise OSError(error.errno, error.strerror, "standard output") from None


def _forget_output() -> None:
    """Point stdout at nothing, so that its buffer reaches no reader when Python flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"personlab: error: {printable(' '.join(message.split()))}\n")
    return code


def _describe(error: Exception) -> str:
    """Describe an error; where a package is missing, with the command that installs it."""
    if isinstance(error, SystemError):
        raise error
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise error
        if "pip install" in str(error):
            return str(error)
        extra = {"hotcoco": "hotcoco", "pyarrow": "ray", "ray": "ray"}.get(package, "full")
        return f"this command needs {error.name} ({error}): pip install '{_installed_from()}[{extra}]'"
    return describe_error(error)


def _installed_from() -> str:
    """Return what pip installs more of this package from: the checkout that it is from, else its name."""
    folder = str(Path(__file__).resolve().parents[2])
    if not Path(folder, "pyproject.toml").is_file():
        with contextlib.suppress(PackageNotFoundError):
            origin = json.loads(distribution("personlab").read_text("direct_url.json") or "{}")
            url = urlsplit(str(origin.get("url", "")))
            folder = url2pathname(url.path) if url.scheme == "file" and "dir_info" in origin else ""
    if not folder or not Path(folder, "pyproject.toml").is_file():
        return "personlab"
    return "." if Path(folder) == Path.cwd() else folder


def _parse(argv: list[str]) -> Any:
    """Return the arguments as a namespace with `command`; None after help or the version is printed.

    Raises:
        UsageError: wrong arguments.
    """
    from jsonargparse import ArgumentError

    for flag, word in zip(["", *argv], argv, strict=False):
        if word == "" or re.fullmatch(r"--[\w.-]+=", word):
            name = f"argument {word.removesuffix('=') or flag}: " if (word or flag).startswith("--") else ""
            raise UsageError(f"{name}expected a value, got an empty word: is a variable of the shell not set?")
    parser, shown = _parser()
    try:
        config = parser.parse_args(join_pairs([_hyphenated(word) for word in argv]))
    except ArgumentError as error:
        command = f"{argv[0]} " if argv and argv[0] in COMMANDS else ""
        raise UsageError(f"{_plain(str(error), shown)} (see personlab {command}--help)") from None
    except SystemExit as exit_:
        if exit_.code:
            raise
        return None
    arguments = config[config.command]
    arguments.command, arguments.argv = config.command, argv
    return arguments


def _hyphenated(word: str) -> str:
    """Return a flag in the help's spelling, also where it was given as Python and configurations spell it."""
    if word.partition("=")[0] in ("--print_config", "--print-config"):  # the parser's own flag
        return word.replace("print-config", "print_config")
    return re.sub(r"^--[a-z]+(?:_[a-z]+)+(?==|$)", lambda match: match[0].replace("_", "-"), word)


def _plain(message: str, shown: Mapping[str, str]) -> str:
    """Translate the parser's message into the words of the help; `shown` names arguments as the help does."""
    for pattern, plain in (
        (r"\s+", " "),
        (
            r"Expected a typing\.Literal\[(.+?)\]\. Got value:",
            lambda match: f"expected one of {_unquoted(match[1])}, got",
        ),
        (r"Not of type ClosedUnitInterval: (\S+) does not .*?(?= \(|$)", r"expected a number from 0 to 1, got \1"),
        (r"Not of type \w*Int: invalid literal for int\(\) with base 10: '(.*?)'", r"expected an integer, got \1"),
        (r"Not of type \w+: could not convert string to float: '(.*?)'", r"expected a number, got \1"),
        (r'Parser key "([\w.]+)"(?: element \d+)?:', r"argument --\1:"),
        (r"(?<=argument )--[a-z]+(?:_[a-z]+)+\b", lambda match: _hyphenated(match[0])),
        (r"Expected an? <class '(\w+)'>\. Got value:", r"expected \1, got"),
        (r"[Ee]xpected (a )?tuple( with 2 elements)?(, got|\. Got value:)", "expected two numbers, got"),
        (r"Not of type \w*Float: (\S+) does not conform to restriction v(\S+)", r"expected a number \2, got \1"),
        (r"Not of type \w+: (\S+) does not conform to restriction v(\S+)", r"expected an integer \2, got \1"),
        (r"(?<=required: ).*", lambda match: ", ".join(shown.get(name, name) for name in match[0].split(", "))),
        (r'expected "command" to be one of \{(.*)\}, but it was not provided.', r"expected a command: \1"),
    ):
        message = re.sub(pattern, plain, message)
    return message


def _unquoted(text: str) -> str:
    return text.replace("'", "")


def _parser() -> tuple[ArgumentParser, dict[str, str]]:
    """Make the parser of all commands, and return it with the name of each argument in the help, by COMMAND.NAME."""
    from argparse import SUPPRESS

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter):
        """Shows no types, and defaults only where a flag takes a value and has one."""

        def __init__(self, prog: str) -> None:
            width = min(shutil.get_terminal_size().columns - 2, 110)
            super().__init__(prog, max_help_position=34, width=width)  # type: ignore[no-untyped-call]

        def _get_help_string(self, action: Any) -> str:
            has_default = action.default not in (None, SUPPRESS) and action.nargs != 0 and action.option_strings
            return f"{action.help} [%(default)s]" if has_default else action.help or ""

    def parser(usage: str, description: str, **more: Any) -> ArgumentParser:
        return ArgumentParser(
            prog="personlab", usage=f"personlab {usage}", description=description, formatter_class=Formatter,
            exit_on_error=False, allow_abbrev=False, **more,
        )  # fmt: skip

    whole = parser("COMMAND ...", "Find every person in an image, bottom-up.", version=__version__)
    shown: dict[str, str] = {}
    commands = whole.add_subcommands(required=True, dest="command", metavar="COMMAND", title="commands", description="")
    for name in COMMANDS:
        module = _module(name)
        command = parser(f"{name} {module.USAGE}".rstrip(), module.DESCRIPTION)
        module.add_arguments(command)
        shown |= {
            f"{name}.{a.dest}": a.option_strings[0] if a.option_strings else str(a.metavar) for a in command._actions
        }
        commands.add_subcommand(name, command, help=module.SUMMARY)
    return whole, shown
