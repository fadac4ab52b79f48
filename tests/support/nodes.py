"""Two "nodes" on this machine: torchrun once for each, as on two machines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

COUNT = 2


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_nodes(*arguments, own=((), ())):
    """The processes of torchrun, each in a group of its own; `own`: more arguments of each node's training."""
    port = str(free_port())
    base = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(COUNT), "--nproc-per-node", "1"]
    return [
        subprocess.Popen(
            [*base, "--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", port, "-m", "personlab",
             "train", *map(str, (*arguments, *own[rank]))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(COUNT)
    ]  # fmt: skip


def kill_node(process):
    """End a node as a power cut does: torchrun and what it started; return what it wrote to stderr."""
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout
    os.killpg(process.pid, signal.SIGKILL)
    for child in map(int, children.split()):  # torchrun gives its processes groups of their own
        os.kill(child, signal.SIGKILL)
    return process.communicate(timeout=60)[1]


def lines_of(stderr):
    """The lines of personlab among those of torchrun."""
    return [line for line in stderr.splitlines() if line.startswith("personlab: ")]
