"""What reading a file costs, measured in a process of its own: seconds of work, and memory beyond that used before."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Cost(NamedTuple):
    message: str  # of the ValueError, or "" where the file was read
    seconds: float
    mib: float  # the most memory, less what the process used before


def measure(setup, call, files, room=2048 * MIB):
    """The cost of `call`, which reads the file `path`, for each file; the process gets `room` bytes more than it has.

    What asks for more memory than there is, or raises anything but a ValueError, fails.
    """
    code = f"import sys; from cost import serve\n{setup}\nserve(lambda path: {call}, sys.argv[2:], int(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(room), *map(str, files)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parent, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Cost(*line) for line in json.loads(done.stdout)]


def serve(call, paths, room):
    """The measured process: reads files and tells what each took."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
    costs = []
    for path in paths:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
        before, start, message = _kib("VmRSS"), time.process_time(), ""
        try:
            call(path)
        except ValueError as error:
            message = str(error)
        costs.append((message, time.process_time() - start, (_kib("VmHWM") - before) / 1024))
    json.dump(costs, sys.stdout)


def _kib(name):
    """Memory in use now (VmRSS) or at its peak (VmHWM); `getrusage` would count what the parent used, too."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])
