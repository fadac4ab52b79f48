"""Damaged annotation files, made from a seed: training is set up, and the ceiling scored, with each.

`python tests/support/fuzz_annotations.py COUNT` runs the first COUNT cases. A case passes when both either work or end
in an error of one line that begins with the file or folder it is about, in under a second. Its number is all that it
takes to make it again: `--first NUMBER 1`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import functools
import io
import json
import math
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from personlab import Skeleton

LIMIT = 1.0  # seconds a case may take
_HANGS = 30  # seconds after which the process ends with a traceback
_SIZE = (81, 113)  # (H, W) of the images drawn here
_NUMBERS = (
    0, -1, 1, 2, 3, 0.5, -0.0, 1e9, -1e9, 1e300, 1e400, -math.inf, math.nan, 2**31, 2**32, 2**53 + 1, 2**63, -(2**63),
    10**400, 32_767, 65_536, 1e-300, 80, 112, 113, 500,
)  # fmt: skip
_TEXTS = (
    "",
    "0",
    "1",
    "person",
    "nose",
    "../a.png",
    "/etc/passwd",
    "..",
    ".",
    "a\0b",
    "\ud800",
    "é" * 300,
    "a\nb",
    "NaN",
)
_ACTIONS = ("delete", "repeat", "cut", "counts", "nest", "scale", "scale", "scale", "odd", "odd", "odd")
_COUNTS = ("PPPP", "0", "52", "zzzz~~~~zz0", "Q" * 500, "o" * 40 + "0", "00000000", "@@@@", "é", "5", "1N2M")


def draw_base(folder: Path) -> tuple[dict, Path]:
    """A small annotation file of everything that the format knows, and the folder of its images."""
    from personlab import visualize
    from personlab.data.coco import People, make_dataset
    from personlab.data.synthetic import make_scene

    scenes = {n: make_scene(n, size=_SIZE, people=2) for n in (1, 2, 3)}
    everyone = {n: People(s.keypoints, s.masks, np.zeros(_SIZE, bool)) for n, s in scenes.items()}
    content = make_dataset(everyone.items(), file_name="{}.png")
    annotations = content["annotations"]
    annotations[0]["segmentation"] = [[5, 5, 60, 8, 40.5, 70, 10, 60], [70, 20, 90, 20, 80, 40]]
    annotations[1]["segmentation"] = {"size": list(_SIZE), "counts": [900, 20, 61, 20, _SIZE[0] * _SIZE[1] - 1001]}
    annotations[2].update(keypoints=[], num_keypoints=0)
    del annotations[3]["segmentation"]
    annotations[4].update(segmentation=[], keypoints=[0] * 51, num_keypoints=0)
    annotations.append({**annotations[1], "id": 50, "iscrowd": 1})
    annotations.append({"id": 51, "image_id": 2, "category_id": 2, "bbox": [1, 2, 3, 4]})
    annotations.append({"id": 52, "image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]})
    content["categories"].append({"id": 2, "name": "dog"})
    images = folder / "images"
    images.mkdir()
    for n, scene in scenes.items():
        visualize.write_image(images / f"{n}.png", scene.image)
    return json.loads(json.dumps(content)), images


def pick_base(content: dict, rng: np.random.Generator) -> dict:
    """What a larger file says of one or two of its images."""
    if len(content["images"]) <= 3:
        return copy.deepcopy(content)
    chosen = rng.choice(len(content["images"]), 2, replace=False)
    images = [content["images"][place] for place in chosen]
    ids = {image["id"] for image in images}
    annotations = [one for one in content["annotations"] if one["image_id"] in ids]
    return copy.deepcopy({**content, "images": images, "annotations": annotations})


def mutate(rng: np.random.Generator, content: dict) -> bytes:
    """The file with one to three of its values changed, and at times its bytes."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        _change_value(rng, content)
    text = json.dumps(content, ensure_ascii=bool(rng.random() < 0.9))
    data = text.encode(
        str(rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-32"], p=[0.9, 0.04, 0.03, 0.03])), "replace"
    )
    return _change_bytes(rng, data) if rng.random() < 0.15 else data


def _change_value(rng: np.random.Generator, content: object) -> None:
    """Walk down to some value and do something to it."""
    parent, key = None, None
    while isinstance(content, (dict, list)) and content and (parent is None or rng.random() < 0.9):
        parent = content
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = "annotations" if "annotations" in keys and rng.random() < 0.5 else keys[rng.integers(len(keys))]
        content = content[key]
    if parent is None:
        return
    action = str(rng.choice(_ACTIONS))
    if action == "delete":
        del parent[key]
    elif action == "repeat" and isinstance(parent, list):
        parent.insert(int(rng.integers(len(parent) + 1)), copy.deepcopy(content))
    else:
        parent[key] = _changed(rng, action, key, content)


def _changed(rng: np.random.Generator, action: str, key: object, content: object) -> object:
    if action == "cut" and isinstance(content, list):
        return content[: int(rng.integers(len(content) + 1))]
    if action == "counts" and key == "counts":
        return str(rng.choice(_COUNTS))
    if action == "scale" and isinstance(content, (int, float)) and abs(content) < 1e300:
        return content * float(rng.choice([-1, 0, 0.5, 0.999, 1.001, 1.1, 2, 10, 1e3, 1e6]))
    if action == "nest":
        for _ in range(int(rng.choice([1, 1, 3, 100, 900]))):
            content = [content]
        return content
    return _odd_value(rng)


def _odd_value(rng: np.random.Generator) -> object:
    kind = rng.integers(7)
    if kind < 3:
        return _NUMBERS[rng.integers(len(_NUMBERS))]
    if kind == 3:
        return _TEXTS[rng.integers(len(_TEXTS))]
    if kind == 4:
        return [None, True, False, {}, [], [[]], [None], [{}], {"size": [1, 1]}][rng.integers(9)]
    length = int(rng.choice([1, 2, 4, 6, 7, 34, 51, 3000]))
    if kind == 5:
        return rng.integers(-50, 200, length).tolist()
    return [[_NUMBERS[rng.integers(len(_NUMBERS))] for _ in range(length)]]


def _change_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    start = int(rng.integers(len(changed)))
    stop = min(start + int(rng.choice([1, 2, 10, 1000])), len(changed))
    action = rng.integers(5)
    if action == 0:
        changed[start:stop] = rng.integers(0, 256, stop - start, np.uint8).tobytes()
    elif action == 1:
        del changed[start:stop]
    elif action == 2:
        changed[start:start] = changed[start:stop] * int(rng.choice([1, 50]))
    elif action == 3:
        del changed[start:]
    else:
        changed[start:start] = [b"[" * 100_000, b"9" * 5000, b"NaN", b"-Infinity", b"\xff\xfe", b"1e400", b'"'][
            rng.integers(7)
        ]
    return bytes(changed)


def set_up_training(path: Path, images: Path, rng: np.random.Generator) -> str:
    """What `personlab train` does with the file before and in its first steps; "done", or why not."""
    from personlab import COCO_PERSON
    from personlab.data.augment import Augmentation
    from personlab.data.images import CocoImages
    from personlab.data.loader import Views
    from personlab.methods import get_method
    from personlab.train import LossOptions

    given = COCO_PERSON if rng.random() < 0.2 else None
    instances = path if rng.random() < 0.1 else None
    try:
        pictures = CocoImages(path, images, skeleton=given, instances=instances, labelled_only=bool(rng.random() < 0.1))
        augmentation = Augmentation(
            long_edge=129, scale=(0.5, 1.5), rotation=20, flip=0.5 * has_mirror(pictures.skeleton), centre="person"
        )
        encode = get_method("personlab").encode
        views = Views(pictures, encode, LossOptions(), crop=(65, 81), stride=16, seed=0, augmentation=augmentation)
        pictures.coverage.lines()
        for number in range(min(len(pictures), 3)):
            views[number]
    except (OSError, ValueError) as error:
        return str(error)
    return "done"


def has_mirror(skeleton: Skeleton) -> bool:
    """Whether training may flip images."""
    try:
        return len(skeleton.directed_flip) >= 0
    except ValueError:
        return False


def score_ceiling(path: Path) -> str:
    """What `personlab evaluate --ceiling` does with the file; "done", or why not."""
    from personlab.commands import evaluate

    config = copy.copy(_ceiling_config())
    config.annotations = str(path)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            evaluate.run(config)
    except (OSError, ValueError) as error:
        return str(error)
    return "done" if "AP" in out.getvalue() else "no figures"


@functools.cache
def _ceiling_config() -> object:
    """Parsed once: that takes longer than most files."""
    from personlab.cli import _parse

    return _parse(["evaluate", "--ceiling", "--annotations", "damaged.json"])


def run_case(number: int, base: tuple[dict, Path], folder: Path, seed: int = 0) -> tuple[list[str], list[str], float]:
    """Outcomes of training and ceiling, what is wrong with them, and the seconds it took."""
    rng = np.random.default_rng((seed, number))
    path = folder / "damaged.json"
    try:
        path.write_bytes(mutate(rng, pick_base(base[0], rng)))
    except RecursionError:  # nested deeper than Python writes
        path.write_bytes(b'{"images": ' + b"[" * 2000)
    start = time.perf_counter()
    outcomes, wrong = [], []
    for job in (lambda: set_up_training(path, base[1], rng), lambda: score_ceiling(path)):
        try:
            outcome = job()
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            wrong.append(f"{type(error).__name__}: {error}")
            continue
        outcomes.append(outcome)
        if outcome != "done" and (not outcome.startswith((str(path), str(base[1]))) or "\n" in outcome):
            wrong.append(outcome)
    return outcomes, wrong, time.perf_counter() - start


def run_cases(numbers: range, base: tuple[dict, Path], folder: Path, seed: int = 0) -> tuple[Counter, list[str], float]:
    """How many cases ended how, the failures, and the longest time."""
    ends: Counter = Counter()
    failures, slowest = [], 0.0
    for number in numbers:
        faulthandler.dump_traceback_later(_HANGS, exit=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcomes, wrong, seconds = run_case(number, base, folder, seed)
            if seconds > LIMIT:  # or was the machine busy?
                seconds = min(run_case(number, base, folder, seed)[2] for _ in range(3))
        faulthandler.cancel_dump_traceback_later()
        ends.update("done" if outcome == "done" else "refused" for outcome in outcomes)
        failures += [f"case {number}: {one}" for one in wrong]
        if seconds > LIMIT:
            failures.append(f"case {number}: {seconds:.1f} s")
        slowest = max(slowest, seconds)
    return ends, failures, slowest


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, help="how many cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--annotations", type=Path, help="damage parts of this file instead of a drawn one")
    parser.add_argument("--images", type=Path, help="the folder with its images")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = (json.loads(asked.annotations.read_bytes()), asked.images) if asked.annotations else draw_base(folder)
        run_case(-1 % 2**31, base, folder)  # imports take their time
        numbers = range(asked.first, asked.first + asked.count)
        ends, failures, slowest = run_cases(numbers, base, folder, asked.seed)
    sys.stdout.writelines(f"{failure}\n" for failure in failures)
    sys.stdout.write(f"{asked.count} cases: {dict(ends)}, {len(failures)} failures, slowest {slowest:.2f} s\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(_main())
