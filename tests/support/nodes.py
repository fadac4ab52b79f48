"""Two "nodes" on this machine: torchrun once for each, as on two machines, or forked processes with what it sets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

COUNT = 2

# Imports once, and forks a process for each node of each run, with the variables that torchrun sets.
_FORKED = """
import os, sys

import personlab.train.loop
import torch.utils.tensorboard
from personlab.cli import main

children = []
for run, (port, *nodes) in enumerate(word.split("\\f") for word in sys.argv[2:]):
    for rank, arguments in enumerate(nodes):
        child = os.fork()
        if child == 0:
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(len(nodes))}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.dup2(os.open(f"{sys.argv[1]}.{run}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            code = main(arguments.split("\\n"))
            sys.stderr.flush()
            os._exit(code)
        children.append(child)
print(*children, flush=True)
for child in children:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def start_nodes(*arguments):
    """Start torchrun on each node, and return these processes."""
    port = free_port()
    base = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(COUNT), "--nproc-per-node", "1"]
    return [
        subprocess.Popen(
            [*base, "--node-rank", str(rank), "--master-addr", "127.0.0.1", "--master-port", port, "-m", "personlab",
             "train", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(COUNT)
    ]  # fmt: skip


class ForkedNodes:
    """Runs at once, of several processes each: one for each list of arguments of `personlab train`.

    Args:
        folder: for what they write to stderr.
        runs: the arguments of each process, by run.
    """

    def __init__(self, folder, *runs):
        self._log = folder / "node"
        words = ["\f".join([free_port(), *("\n".join(map(str, ("train", *own))) for own in run)]) for run in runs]
        self._names = [f"{number}.{rank}" for number, run in enumerate(runs) for rank in range(len(run))]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKED, str(self._log), *words], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._children = [int(word) for word in self._process.stdout.readline().split()]

    def kill(self, place):
        """End a process as a power cut does."""
        os.kill(self._children[place], signal.SIGKILL)

    def wait(self):
        """Return exit code and lines of personlab of each process."""
        out, _ = self._process.communicate(timeout=240)
        texts = [self._log.with_name(f"node.{name}").read_text().splitlines() for name in self._names]
        lines = [[line for line in own if line.startswith("personlab: ")] for own in texts]
        return list(zip(map(int, out.split()), lines, strict=True))
