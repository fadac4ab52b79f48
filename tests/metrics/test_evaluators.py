"""hotcoco returns the figures of pycocotools, all of them, to 1e-9: on real annotations, drawn scenes and odd cases."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.cli import main
from personlab.data.coco import People, index_dataset, make_annotations
from personlab.data.synthetic import make_scene
from personlab.io.results import encode_runs
from personlab.metrics.coco import average_precision, hotcoco_summary, load_annotations, summary

pytest.importorskip("pycocotools")
pytest.importorskip("hotcoco")
from pycocotools import mask as coco_mask

SIZE = (60, 80)
OPTIONS = {
    "ordinary": {},
    "equal scores": {"ties": True},
    "many crowds": {"crowds": 0.6},
    "crowds alone": {"crowds": 1.0},
    "people without keypoints": {"unlabelled": 1.0},
    "every person with keypoints": {"unlabelled": 0.0},
    "more results than count": {"strays": 25},
    "images of one person or none": {"people": 2},
    "no annotation": {"people": 1},
    "three keypoints": {"n_keypoints": 3},
    "people of all sizes": {"zoom": 40},
}


def make_case(seed, *, ties=False, crowds=0.15, unlabelled=0.3, strays=0, people=4, n_keypoints=17, zoom=1):
    """Annotations of six images in a category of another number, and results of keypoints and masks, good and bad."""
    rng = np.random.default_rng(seed)
    h, w = SIZE
    y, x = np.mgrid[:h, :w]
    entries, poses, masks = [], [], []

    def add(image, keypoints, mask):
        score = float(np.round(rng.random(), 1) if ties else rng.random())
        flat = np.column_stack([keypoints, np.ones(n_keypoints)]).ravel().tolist()
        more = {"image_id": image, "category_id": 1, "score": score}
        poses.append({**more, "keypoints": flat})
        masks.append({**more, "segmentation": {"size": [h, w], "counts": encode_runs(mask)}})

    for image in range(1, 7):
        for _ in range(rng.integers(0, people)):
            points = rng.uniform(0, (w, h), (n_keypoints, 2))
            seen = rng.integers(0, 3, n_keypoints) * (rng.random() >= unlabelled)
            crowd = rng.random() < crowds
            centre, radius = rng.uniform(0, (w, h)), rng.uniform(3, 25, 2)
            mask = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 < 1
            mask[h // 2, w // 2] |= not mask.any()
            keypoints = np.column_stack([points, seen]) * (seen > 0)[:, None] * (not crowd)
            runs = {"size": [h, w], "counts": encode_runs(mask)}
            entries.append(
                {
                    "id": len(entries) + 1,
                    "image_id": image,
                    "category_id": 7,
                    "iscrowd": int(crowd),
                    "area": float(mask.sum() * rng.uniform(1, zoom)),
                    "bbox": coco_mask.toBbox(runs).tolist(),
                    "segmentation": runs,
                    "keypoints": keypoints.ravel().tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                }
            )
            for _ in range(rng.integers(0, 3)):
                shift = rng.integers(-3, 4, 2)
                add(image, points + rng.normal(0, rng.choice([0.5, 2, 6]), points.shape), np.roll(mask, shift, (0, 1)))
        for _ in range(strays):
            add(image, rng.uniform(0, (w, h), (n_keypoints, 2)), rng.random(SIZE) < 0.2)
    images = [{"id": image, "height": h, "width": w} for image in range(1, 7)]
    names = [f"k{k}" for k in range(n_keypoints)]
    category = {"id": 7, "name": "person", "keypoints": names}
    return index_dataset({"images": images, "annotations": entries, "categories": [category]}), poses, masks


def expect_equal(annotations, results, kind, **more):
    expected = summary(annotations, results, kind, **more)
    figures = hotcoco_summary(annotations, results, kind, **more)
    assert figures.shape == expected.shape == ((10,) if kind == "keypoints" else (12,))
    np.testing.assert_allclose(figures, expected, rtol=0, atol=1e-9)
    return expected


@pytest.mark.parametrize("name", OPTIONS)
def test_drawn_cases(name, capfd):
    values = set()
    for seed in range(6):
        annotations, poses, masks = make_case(seed, **OPTIONS[name])
        sigmas = np.linspace(0.02, 0.1, OPTIONS[name].get("n_keypoints", 17))
        if poses:
            values |= set(expect_equal(annotations, poses, "keypoints", sigmas=sigmas).tolist())
            values |= set(expect_equal(annotations, masks, "segm").tolist())
    assert len(values) > 4 or name in ("no annotation", "crowds alone")
    assert capfd.readouterr() == ("", "")


def test_people_without_outline_are_regions_in_both():
    for seed in range(6):
        annotations, _, masks = make_case(seed)
        entries = [dict(entry) for entry in annotations.dataset["annotations"]]
        for entry in entries[::2]:
            entry.pop("segmentation")
        expect_equal(index_dataset({**annotations.dataset, "annotations": entries}), masks, "segm")


def test_no_results_and_no_people():
    annotations, poses, masks = make_case(0)
    for kind in ("keypoints", "segm"):
        for evaluator in ("pycocotools", "hotcoco"):
            assert average_precision(annotations, [], kind, evaluator=evaluator).ap == 0
    nobody = index_dataset({**annotations.dataset, "annotations": []})
    assert (expect_equal(nobody, poses, "keypoints") == -1).all()
    assert (expect_equal(nobody, masks, "segm") == -1).all()
    expect_equal(annotations, poses[:1], "keypoints")
    expect_equal(annotations, masks[:1], "segm")


def test_numbers_of_images_and_annotations_as_files_have_them():
    annotations, poses, masks = make_case(3)
    move = dict(zip(range(1, 7), (2**53, 7, 900_000_000_000, 1, 2**62, 30), strict=True))
    dataset = annotations.dataset
    moved = index_dataset(
        {
            **dataset,
            "images": [{**image, "id": move[image["id"]]} for image in dataset["images"]],
            "annotations": [
                {**e, "id": 10**9 + 7 * e["id"], "image_id": move[e["image_id"]]} for e in dataset["annotations"]
            ],
        }
    )
    for kind, results in (("keypoints", poses), ("segm", masks)):
        expect_equal(moved, [{**r, "image_id": move[r["image_id"]]} for r in results], kind)


def test_results_far_outside_of_the_image():
    annotations, poses, _ = make_case(4)
    for factor in (0.0, -3.0, 1e6):
        far = [{**r, "keypoints": (np.array(r["keypoints"]) * factor).tolist()} for r in poses]
        expect_equal(annotations, far, "keypoints")


def test_drawn_scenes():
    rng = np.random.default_rng(0)
    scenes = {n: make_scene(n, size=(161, 209), people=3) for n in range(1, 5)}
    annotations = make_annotations(
        {n: People(s.keypoints, s.masks, np.zeros((161, 209), bool)) for n, s in scenes.items()}
    )
    poses, masks = [], []
    for n, scene in scenes.items():
        for keypoints, mask in zip(scene.keypoints, scene.masks, strict=True):
            moved = keypoints.astype(float)
            moved[:, :2] += rng.normal(0, 2, (17, 2))
            more = {"image_id": n, "category_id": 1, "score": float(rng.random())}
            poses.append({**more, "keypoints": moved.ravel().tolist()})
            shifted = np.roll(mask, rng.integers(0, 6), axis=1)
            masks.append({**more, "segmentation": {"size": [161, 209], "counts": encode_runs(shifted)}})
    assert 0.2 < expect_equal(annotations, poses, "keypoints")[0] < 1
    assert 0.2 < expect_equal(annotations, masks, "segm")[0] < 1


@pytest.mark.parametrize(
    "file", ["coco-mini/annotations/person_keypoints.json", "coco-mini/annotations/instances.json", "coco-people"]
)
def test_real_annotations(data, file):
    path = data / file
    if path.is_dir():
        path = next(p for p in sorted(path.rglob("*.json")) if "keypoints" in p.name)
    annotations = load_annotations(str(path), category="person")
    rng = np.random.default_rng(0)
    poses, masks = [], []
    for entry in annotations.dataset["annotations"][:3000]:
        more = {"image_id": entry["image_id"], "category_id": 1, "score": float(np.round(rng.random(), 2))}
        keypoints = np.array(entry.get("keypoints") or np.zeros(51), float).reshape(-1, 3)
        keypoints[:, :2] += rng.normal(0, 0.05 * np.sqrt(entry["area"]), (17, 2))
        poses.append({**more, "keypoints": keypoints.ravel().tolist()})
        if entry.get("segmentation"):
            mask = np.roll(annotations.annToMask(entry), rng.integers(-4, 5, 2), (0, 1)).astype(bool)
            masks.append({**more, "segmentation": {"size": list(mask.shape), "counts": encode_runs(mask)}})
    if "instances" not in file:
        assert 0.1 < expect_equal(annotations, poses, "keypoints")[0] < 1
    assert 0.1 < expect_equal(annotations, masks, "segm")[0] < 1


def test_what_the_packages_would_count_differently_is_refused():
    annotations, poses, masks = make_case(0)
    entries = annotations.dataset["annotations"]
    for number in (0, 2):
        changed = index_dataset({**annotations.dataset, "annotations": [{**entries[0], "id": number}, *entries[1:]]})
        with pytest.raises(ValueError, match="annotations: expected ids that differ from each other and from 0"):
            hotcoco_summary(changed, poses, "keypoints")
    nan = float("nan")
    for kind, results, change in (
        ("keypoints", poses, {"score": nan}),
        ("segm", masks, {"score": nan}),
        ("keypoints", poses, {"keypoints": [nan] * 51}),
        ("keypoints", poses, {"keypoints": [float("inf")] * 51}),
    ):
        with pytest.raises(ValueError, match=r"results\[1\]: expected finite numbers, got NaN or infinity"):
            hotcoco_summary(annotations, [results[0], {**results[1], **change}], kind)
    with pytest.raises(ValueError, match=r"results\[0\]: expected an image of the annotations, got 99"):
        hotcoco_summary(annotations, [{**poses[0], "image_id": 99}], "keypoints")


def test_without_hotcoco_its_extra_is_named(tmp_path, monkeypatch, capsys):
    import json
    import sys

    monkeypatch.setitem(sys.modules, "hotcoco", None)
    scene = make_scene(1, size=(161, 209), people=2)
    dataset = make_annotations({1: People(scene.keypoints, scene.masks, np.zeros((161, 209), bool))}).dataset
    for entry in dataset["annotations"]:
        entry["segmentation"] = (
            {**entry["segmentation"], "counts": str(entry["segmentation"]["counts"], "ascii")}
            if (isinstance(entry["segmentation"]["counts"], bytes))
            else entry["segmentation"]
        )
    (tmp_path / "a.json").write_text(json.dumps(dataset))
    assert main(["evaluate", "--annotations", str(tmp_path / "a.json"), "--ceiling", "--evaluator", "hotcoco"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("[hotcoco]'")


def test_the_command_prints_the_same_figures(data, capsys):
    path = data / "coco-mini" / "annotations" / "person_keypoints.json"
    printed = []
    for evaluator in ("pycocotools", "hotcoco"):
        argv = ["evaluate", "--annotations", str(path), "--ceiling", "--stride", "16", "--evaluator", evaluator]
        assert main(argv) == 0
        printed.append([line for line in capsys.readouterr().out.splitlines() if "images a second" not in line])
    assert printed[0] == printed[1]
    assert len(printed[0]) > 8


def test_another_evaluator_is_refused(capsys):
    annotations, poses, _ = make_case(0)
    with pytest.raises(ValueError, match="evaluator: expected one of pycocotools, hotcoco, got 'coco'"):
        average_precision(annotations, poses, "keypoints", evaluator="coco")
    assert main(["evaluate", "--annotations", "a.json", "--ceiling", "--evaluator", "coco"]) == 2
    assert "argument --evaluator: expected one of pycocotools, hotcoco, got coco" in capsys.readouterr().err
