"""AP from matches image by image: COCO's own number, images counted several times, paired intervals."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from personlab.data.coco import People, make_annotations
from personlab.metrics.bootstrap import Matches, bootstrap, compare, find_matches, resample_images
from personlab.metrics.coco import average_precision

SIZE = (60, 90)


def person(x, y, height=30):
    """17 keypoints in a column; the mask is the box around it."""
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:, 0] = x + np.arange(17) % 3
    keypoints[:, 1] = np.linspace(y, y + height, 17)
    keypoints[:, 2] = 2
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + 12] = True
    return keypoints, mask


def make_images(count, seed=0):
    """{image id: people}, some unlabelled, one image with a crowd and one with nobody."""
    random = np.random.default_rng(seed)
    images = {}
    for n in range(1, count + 1):
        people = [person(int(random.integers(0, 70)), int(random.integers(0, 25))) for _ in range(n % 3)]
        keypoints = np.array([k for k, _ in people], np.float32).reshape(-1, 17, 3)
        if n % 4 == 1 and len(keypoints):
            keypoints[0] = 0
        crowd = np.zeros(SIZE, bool)
        crowd[:9, :9] = n == 2
        images[n] = People(keypoints, np.array([m for _, m in people], bool).reshape(-1, *SIZE), crowd)
    return images


def make_results(images, seed, spread):
    """Poses near the people, and as many that are anywhere."""
    random = np.random.default_rng(seed)
    results = []
    for n, people in images.items():
        for keypoints in people.keypoints:
            near = keypoints[:, :2] + random.normal(0, spread, (17, 2))
            for place in (near, random.uniform(0, 60, (17, 2))):
                triples = np.concatenate([place, np.ones((17, 1))], axis=1)
                results.append(
                    {"image_id": n, "category_id": 1, "keypoints": triples.ravel().tolist(), "score": random.random()}
                )
    return results


def by_hand(**changes):
    """Two images, one person each: hit at both thresholds and at one, and a miss between them."""
    values = {
        "image_ids": np.array([4, 7]),
        "people": np.array([1, 1]),
        "images": np.array([0, 1, 1]),
        "scores": np.array([0.9, 0.8, 0.7]),
        "hits": np.array([[True, False, True], [True, False, False]]),
        "misses": np.array([[False, True, False], [False, True, True]]),
        "thresholds": np.array([0.5, 0.75]),
        "recalls": np.linspace(0, 1, 101),
    }
    return Matches(**{**values, **changes})


def test_precision_by_hand():
    # threshold 0.5: precision 1 up to recall 1/2 (51 of 101 recalls), 2/3 from there; 0.75: recall ends at 1/2
    found = by_hand().average_precision()
    assert found.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)
    assert found.ap75 == pytest.approx(51 / 101, abs=1e-12)
    assert found.ap == pytest.approx((found.ap50 + found.ap75) / 2, abs=1e-12)
    assert found.recall == pytest.approx((1 + 0.5) / 2)


def test_an_image_counts_as_often_as_its_weight():
    # the first image alone: all found, nothing wrong; the second alone: 1/2 at 0.5, nothing at 0.75
    assert by_hand().average_precision(np.array([3, 0])).ap == pytest.approx(1, abs=1e-12)
    second = by_hand().average_precision(np.array([0, 2]))
    assert (second.ap50, second.ap75) == pytest.approx((0.5, 0), abs=1e-12)


def test_thresholds_that_are_missing_and_nobody_to_find():
    assert by_hand(thresholds=np.array([0.5, 0.9])).average_precision().ap75 == -1
    assert by_hand(people=np.array([0, 0])).average_precision().ap == -1
    empty = {"images": np.zeros(0, int), "scores": np.zeros(0)}
    nothing = np.zeros((2, 0), bool)
    found = by_hand(**empty, hits=nothing, misses=nothing).average_precision()
    assert (found.ap, found.recall) == (0, 0)


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match=r"weights: expected shape \(2,\), got \(3,\)"):
        by_hand().average_precision(np.ones(3))


@pytest.mark.parametrize("spread", [0.3, 1.5, 2.5])
def test_weights_of_one_give_coco_s_number(spread):
    images = make_images(25)
    annotations = make_annotations(images)
    results = make_results(images, 1, spread)
    expected = average_precision(annotations, results, "keypoints")
    found = find_matches(annotations, results, "keypoints").average_precision()
    assert 0 < expected.ap < 1
    for name in ("ap", "ap50", "ap75", "recall"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)


def test_masks_give_coco_s_number(data):
    from personlab.metrics.coco import load_annotations

    folder = data / "coco-mini" / "annotations"
    annotations = load_annotations(str(folder / "instances.json"))
    random = np.random.default_rng(3)
    results = [
        {
            "image_id": a["image_id"],
            "category_id": 1,
            "score": random.random(),
            "segmentation": annotations.annToRLE(annotations.anns[other]),
        }
        for a in annotations.anns.values()
        if a["category_id"] == 1
        for other in annotations.getAnnIds(imgIds=[a["image_id"]])[:3]
    ]
    expected = average_precision(annotations, copy.deepcopy(results), "segm")
    found = find_matches(annotations, results, "segm").average_precision()
    assert 0 < expected.ap < 1
    assert (found.ap, found.ap50, found.ap75) == pytest.approx((expected.ap, expected.ap50, expected.ap75), abs=1e-12)


def test_integer_weights_are_images_that_stand_several_times_in_the_file():
    images = make_images(15)
    results = make_results(images, 2, 1.5)
    weights = np.array([n % 3 for n in images])
    found = find_matches(make_annotations(images), results, "keypoints").average_precision(weights)
    copies = {
        100 * n + copy: people for (n, people), w in zip(images.items(), weights, strict=True) for copy in range(w)
    }
    repeated = [{**r, "image_id": n} for r in results for n in copies if n // 100 == r["image_id"]]
    expected = average_precision(make_annotations(copies), repeated, "keypoints")
    assert 0 < expected.ap < 1
    assert found.ap == pytest.approx(expected.ap, abs=1e-12)
    assert found.ap75 == pytest.approx(expected.ap75, abs=1e-12)


def test_resampled_sets_are_as_large_as_the_first_and_repeatable():
    weights = resample_images(7, resamples=50, seed=4)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, resample_images(7, resamples=50, seed=4))
    assert not np.array_equal(weights, resample_images(7, resamples=50, seed=5))


def test_no_difference_with_itself_and_a_clear_one_with_worse():
    images = make_images(40)
    annotations = make_annotations(images)
    good, bad = (find_matches(annotations, make_results(images, 5, spread), "keypoints") for spread in (0.3, 3.0))
    same = compare(good, good, resamples=20)
    assert same["ap"] == (0, 0, 0)
    worse = compare(bad, good, resamples=200)
    assert worse["ap"].low <= worse["ap"].value <= worse["ap"].high < 0
    better = compare(good, bad, resamples=200)
    assert better["ap"] == pytest.approx((-worse["ap"].value, -worse["ap"].high, -worse["ap"].low))
    assert compare(bad, good, resamples=200, level=0.5)["ap"].low > worse["ap"].low


def test_draws_without_anybody_to_find_do_not_count():
    lonely = by_hand(people=np.array([1, 0]), hits=by_hand().hits & False, misses=by_hand().misses | True)
    values = bootstrap(lonely, np.array([[0, 2], [1, 1]]))
    assert np.isnan(values[0]).all()
    assert (values[1] == 0).all()


def test_other_images_cannot_be_compared():
    with pytest.raises(ValueError, match="after: expected the 2 images of `before`, got others"):
        compare(by_hand(image_ids=np.array([4, 8])), by_hand())
