"""Compares trackers on drawn videos with known identities: HOTA, identity switches and milliseconds a frame.

python benchmarks/tracking.py                    # personlab beside ByteTrack (package `trackers`)
python benchmarks/tracking.py --output videos/   # also writes each video, drawn by identity
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from personlab import Tracker, TrackOptions
from personlab.data.synthetic import DetectorNoise, DrawnVideo, detect
from personlab.metrics.hota import combine_hota, count_switches, hota
from personlab.track import box_overlap

SUITES = {"crossing": (2, 4, 6), "hidden": (2, 4, 6), "returning": (2, 4, 8), "crowd": (2, 5, 10, 20)}
FRAMES = 200
MIN_VISIBLE = 0.25  # of people who count; others are neither truth nor ever detected


def personlab_ids(poses, size, options=None):
    """Return the ids of each frame, and the seconds of each call."""
    tracker, ids, seconds = Tracker(options=options), [], []
    for one in poses:
        start = time.perf_counter()
        ids.append(tracker.update(one, size=size))
        seconds.append(time.perf_counter() - start)
    return ids, seconds


def bytetrack_ids(poses, **options):
    """Return the ids of each frame, and the seconds of each call, of ByteTrack on the boxes of the poses."""
    import supervision
    from trackers import ByteTrackTracker

    tracker, ids, seconds = ByteTrackTracker(**options), [], []
    for one in poses:
        order = np.arange(len(one))
        detections = supervision.Detections(
            xyxy=one.boxes.astype(np.float32), confidence=one.scores, class_id=order, data={"index": order}
        )
        start = time.perf_counter()
        tracked = tracker.update(detections)
        seconds.append(time.perf_counter() - start)
        own = np.full(len(one), -1)
        if len(tracked):
            own[tracked.class_id] = tracked.tracker_id
        ids.append(own)
    return ids, seconds


def pairs(video, poses, ids):
    """Return the frames that `hota` takes: the IoU of the boxes of true and of tracked people."""
    frames = []
    for number, (one, own) in enumerate(zip(poses, ids, strict=True)):
        truth = video.truth(number)
        truth = truth.kept(truth.visible >= MIN_VISIBLE)
        has = own >= 0
        frames.append((truth.ids, own[has], box_overlap(truth.boxes, one.boxes[has])))
    return frames


def known(detected, ids):
    """Return the frames that `count_switches` takes: a pose belongs to the person it was made of, surely."""
    frames = []
    for (_, people), own in zip(detected, ids, strict=True):
        first = np.zeros(len(people), bool)
        first[np.unique(people, return_index=True)[1]] = True  # not the second pose of a person
        made, found = first & (people > 0), own[own >= 0]
        frames.append((people[made], found, (own[made][:, None] == found).astype(float)))
    return frames


def best_bytetrack(suites):
    """Return the options of ByteTrack with the highest HOTA over all these videos: it may look at the answers."""
    grid = {
        "lost_track_buffer": (30, 90, 250),
        "track_activation_threshold": (0.3, 0.5, 0.7),
        "high_conf_det_threshold": (0.3, 0.6),
        "minimum_iou_threshold": (0.1, 0.3),
        "minimum_consecutive_frames": (1, 2),
    }
    settings = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def score(setting):
        return combine_hota([hota(pairs(v, p, bytetrack_ids(p, **setting)[0])) for v, p in suites]).score

    return max(settings, key=score)


def draw(video, poses, ids, path):
    """Write the video with its poses, drawn by identity."""
    from personlab import visualize
    from personlab.io.video_writer import VideoWriter

    writer = VideoWriter(path, 25)
    for number, (one, own) in enumerate(zip(poses, ids, strict=True)):
        writer.write(visualize.overlay(video.image(number), one, track_ids=own), number / 25)
    writer.close(len(poses) / 25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jitter", type=float, default=1.0, help="noise of keypoints, in those of annotators")
    parser.add_argument("--best", action="store_true", help="also ByteTrack with the best of 72 settings; minutes")
    parser.add_argument("--output", type=str, help="folder of drawn videos of the first seed")
    arguments = parser.parse_args()
    noise = DetectorNoise(jitter=arguments.jitter)
    videos = {
        (kind, people, seed): DrawnVideo(seed, kind, people=people, frames=FRAMES)
        for kind, counts in SUITES.items() for people in counts for seed in arguments.seeds
    }  # fmt: skip
    detected = {key: detect(video, noise) for key, video in videos.items()}
    poses = {key: [one.poses for one in frames] for key, frames in detected.items()}
    methods = {
        "personlab": personlab_ids,
        "no return": lambda p, s: personlab_ids(p, s, TrackOptions(max_away=0)),
        "ByteTrack": lambda p, _: bytetrack_ids(p),
    }
    if arguments.best:
        setting = best_bytetrack([(videos[key], poses[key]) for key in videos])
        print(f"best ByteTrack: {setting}\n")
        methods["best ByteTrack"] = lambda p, _: bytetrack_ids(p, **setting)
    print(f"| {'suite':<9} | people | {'tracker':<14} |  HOTA |  DetA |  AssA | switches | by boxes | ms a frame |")
    print(f"|{'-' * 11}|{'-' * 8}|{'-' * 16}|{'-' * 7}|{'-' * 7}|{'-' * 7}|{'-' * 10}|{'-' * 10}|{'-' * 12}|")
    results = {name: {} for name in methods}
    for name, track in methods.items():
        for key, video in videos.items():
            ids, seconds = track(poses[key], video.size)
            frames = pairs(video, poses[key], ids)
            switches = count_switches(known(detected[key], ids)), count_switches(frames)
            results[name][key] = (hota(frames), *switches, float(np.median(seconds)) * 1e3)
            if arguments.output and key[2] == arguments.seeds[0] and name == "personlab":
                Path(arguments.output).mkdir(parents=True, exist_ok=True)
                draw(video, poses[key], ids, Path(arguments.output) / f"{key[0]}-{key[1]}.mp4")
    rows = [(kind, people) for kind, counts in SUITES.items() for people in counts]
    for row in [*rows, *((kind, "all") for kind in SUITES), ("all", "all")]:
        for name, found in results.items():
            mine = [one for key, one in found.items() if row[0] in (key[0], "all") and row[1] in (key[1], "all")]
            whole = combine_hota([one[0] for one in mine])
            parts = (whole.score, float(whole.detection.mean()), float(whole.association.mean()))
            cells = " | ".join(f"{100 * part:5.1f}" for part in parts)
            switches, by_boxes = (sum(one[place] for one in mine) for place in (1, 2))
            slowest = max(one[3] for one in mine)
            counts = f"{switches:8d} | {by_boxes:8d} | {slowest:10.2f}"
            print(f"| {row[0]:<9} | {row[1]!s:>6} | {name:<14} | {cells} | {counts} |")


if __name__ == "__main__":
    main()
