"""Times networks in PyTorch on a GPU: images of sizes seen before and of new ones, with cuDNN's plans and without.

python benchmarks/gpu_network.py [WEIGHTS ...]

Prints Markdown: milliseconds of one run with its copies, the median; of new sizes, each seen once.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from personlab.predict.load import load_network

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
WEIGHTS = ("people-mobilenet-075", "drawn-mobilenet-050")
SIZE, NEW, BATCHES, ROUNDS = (481, 641), 6, (1, 8, 32), 20


def run(engine, size, batch=1):
    """Return the milliseconds of one run."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *size, 3), np.uint8)
    start = time.perf_counter()
    engine.run(images, NAMES)
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", default=WEIGHTS)
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}\n")
    columns = [f"batch of {batch}, an image" for batch in BATCHES]
    print(f"| network, precision | cuDNN | new size | {' | '.join(columns)} |")
    print("|---" * (3 + len(columns)) + "|")
    side = SIZE[1]
    for weights in parser.parse_args().weights:
        for precision in ("bfloat16", "float32"):
            engine = load_network(weights, engine="torch", device="cuda", precision=precision).engine
            for unplanned in (False, True):
                engine._unplanned = unplanned
                run(engine, SIZE)
                side += 16 * NEW  # widths that nothing has seen
                new = statistics.median(run(engine, (SIZE[0], side - 16 * n)) for n in range(NEW))
                known = []
                for batch in BATCHES:
                    run(engine, SIZE, batch)
                    known.append(statistics.median(run(engine, SIZE, batch) for _ in range(ROUNDS)) / batch)
                cells = " | ".join(f"{value:.2f}" for value in known)
                kind = "dense convolutions alone" if unplanned else "all"
                print(f"| {weights}, {precision} | {kind} | {new:.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
