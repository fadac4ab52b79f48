"""Times decoding on a GPU by CUDA events: stages, whole calls, the copy to the host, and the floor.

`benchmarks/gpu.py` runs it; alone, it prints one JSON object. Fields are of drawn crowds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace

import torch

from personlab import DecodeOptions, MaskOptions, build_info, cuda, decode_masks, decode_poses
from personlab.methods.personlab.bench import crowd

SIZES = ((481, 641), (801, 801), (1401, 1401))  # (H, W) of the network input, pixels; stride 8
BATCHES = (1, 8, 32, 64)
PEOPLE, SCENES = 5, 8  # people in each image; different images
OPTIONS = DecodeOptions(hough_stride=2)
STAGES = {  # parts of the names of kernels; clearing memory is counted apart from the stages
    "clearing": ("Memset",),
    "hough": ("cast_votes",),
    "peaks": ("search", "place_in_order"),
    "group": ("grow_", "accept"),
    "score": ("score_", "copy_probabilities", "rank_by_mean", "suppress", "write_best"),
    "masks": ("prepare", "assign_pixels"),
}


def events(call, rounds=30, warm_up=3, together=1, seconds=1.0):
    """Return the median time of a call between events, microseconds, with `together` calls queued at once.

    A single call on an idle stream takes at least as long as Python takes to queue it. There are fewer rounds, five or
    more, where all would take longer than `seconds`.
    """
    call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(warm_up):
        call()
    torch.cuda.synchronize()
    each = (time.perf_counter() - start) / warm_up * together
    times = []
    for _ in range(max(5, min(rounds, int(seconds / each)))):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(together):
            call()
        end.record()
        end.synchronize()
        times.append(1e3 * start.elapsed_time(end) / together)
    return statistics.median(times)


def clock(call, rounds=10):
    """Return the median time of a call on the host, microseconds, synchronised with the device."""
    times = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def by_stage(call, rounds=10):
    """Return the microseconds of each stage's kernels in one call, and those of each kernel."""
    call()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(rounds):
            call()
        torch.cuda.synchronize()
    stages, kernels = dict.fromkeys(STAGES, 0.0), {}
    for entry in profile.key_averages():
        micros = entry.device_time_total / rounds
        kernels[entry.key] = micros
        for stage, names in STAGES.items():
            if any(name in entry.key for name in names):
                stages[stage] += micros
                break
    return stages, kernels


def replayed(call):
    """Return a call that replays a CUDA graph of `call`."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def bandwidth():
    """Return the bytes a microsecond, read and written, of a large copy on the device."""
    a = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / events(lambda: b.copy_(a))


def measure(size, batch, rate):
    scenes = [crowd(PEOPLE, size=size, seed=seed) for seed in range(min(batch, SCENES))]
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    host = [
        torch.stack([torch.from_numpy(getattr(scenes[i % len(scenes)], name)) for i in range(batch)]).pin_memory()
        for name in names
    ]
    fields = [array.cuda() for array in host]
    poses_from, masks_from = fields[:3], {"segmentation": fields[3], "long_offsets": fields[4]}
    sizes = {"stride": 8, "size": size, "short_offsets": fields[1], "options": MaskOptions()}
    out = cuda.decode_poses(*poses_from, stride=8, options=OPTIONS)
    decoded = out.read()
    few = cuda.decode_poses(*poses_from, stride=8, options=replace(OPTIONS, max_poses=max(map(len, decoded))))
    expected = decode_poses(*(array.numpy() for array in host[:3]), stride=8, options=OPTIONS)
    assert [len(one) for one in decoded] == [len(one) for one in expected]
    assert all(abs(a.keypoints - b.keypoints).max() <= 1e-3 for a, b in zip(decoded, expected, strict=True))

    def decode():
        cuda.decode_poses(*poses_from, stride=8, options=OPTIONS, out=out)

    def masks():
        decode_masks(decoded, **masks_from, **sizes)

    def device_masks():
        cuda.decode_masks(few, **masks_from, **sizes)

    def copy():
        for array, on_device in zip(host[:3], poses_from, strict=True):
            array.copy_(on_device, non_blocking=True)

    def on_the_host():
        copy()
        torch.cuda.synchronize()
        decode_poses(*(array.numpy() for array in host[:3]), stride=8, options=OPTIONS)

    print(f"{size[1]}x{size[0]}, {batch} images: poses equal those of the host", file=sys.stderr, flush=True)
    stages, kernels = by_stage(lambda: (decode(), masks()))
    read = sum(array.nbytes for array in poses_from)
    return {
        "size": size,
        "batch": batch,
        "poses": sum(map(len, decoded)),
        "decode_us": events(decode),
        "decode_queued_us": events(decode, together=10),
        "decode_graph_us": events(replayed(decode)),
        "decode_and_read_us": clock(lambda: decode_poses(*poses_from, stride=8, options=OPTIONS)),
        "masks_us": events(masks),
        "masks_there_us": events(device_masks, together=10),
        "copy_to_host_us": events(copy),
        "copy_and_cpu_decode_us": clock(on_the_host),
        "fields_read_once_us": read / rate,
        "stages_us": stages,
        "kernels_us": kernels,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the smallest size and batches")
    parser.add_argument("--seconds", type=float, default=600, help="begin no further size or batch after this time")
    arguments = parser.parse_args()
    start, rate = time.perf_counter(), bandwidth()
    rows = [
        measure(size, batch, rate)
        for size in (SIZES[:1] if arguments.quick else SIZES)
        for batch in (BATCHES[:2] if arguments.quick else BATCHES)
        if time.perf_counter() - start < arguments.seconds
    ]
    print(
        json.dumps(
            {
                "gpu": torch.cuda.get_device_name(),
                "cuda": build_info()["cuda"],
                "torch": torch.__version__,
                "hough_stride": OPTIONS.hough_stride,
                "people": PEOPLE,
                "copy_gigabytes_a_second": rate / 1e3,
                "rows": rows,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
