"""PoseTrack's metrics: counted by hand by default, and poseval's printed figures by the original's rules."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from posetrack_files import person, sequence

pytest.importorskip("scipy")
from personlab.data.posetrack import JOINTS, read_2018
from personlab.metrics.poseval import NAMES, Rules, assign_people, evaluate, inside

GOLDEN = (
    "1_perfect", "2_noisy", "3_id_switch", "4_ignore_regions", "5_unlabelled_frame", "6_frame_without_prediction",
)  # fmt: skip
NOSE, TOP = JOINTS.index("nose"), JOINTS.index("head_top")
FIGURES = ("ap", "precision", "recall", "mota", "motp", "track_precision", "track_recall")


def read(content, name="one"):
    return {name: next(iter(read_2018(content, name).values()))}


def score(truth, predictions, rules=None):
    return evaluate(read(truth), read(predictions), rules=rules)["total"]


def test_one_joint_of_one_person():
    """Distance 6 pixels, head size 30: 0.2 heads."""
    truth = sequence([person(1, 0, nose=(100, 50))])
    figures = score(truth, sequence([person(1, 5, 0.9, nose=(106, 50))]))
    assert figures.ap[NOSE] == figures.recall[NOSE] == figures.mota[NOSE] == 100
    assert figures.motp[NOSE] == pytest.approx(80)
    assert figures.ap[-1] == figures.mota[-1] == 100  # the mean of the joints that are labelled
    assert np.isnan(figures.ap[TOP])
    far = score(truth, sequence([person(1, 5, 0.9, nose=(115.1, 50))]))
    assert far.ap[NOSE] == far.recall[NOSE] == 0
    assert far.mota[NOSE] == pytest.approx(-100)  # a miss and a false positive
    assert score(truth, sequence([person(1, 5, 0.9, nose=(115, 50))])).ap[NOSE] == 100  # half a head, exactly


def test_average_precision_is_the_area_under_the_envelope():
    truth = sequence([person(n, 0, nose=(100, 50)) for n in (1, 2, 3)], frames=3)
    found = [
        person(1, 0, 0.9, nose=(100, 50)),
        person(2, 0, 0.8, nose=(300, 50)),  # wrong
        person(3, 0, 0.7, nose=(100, 50)),
    ]
    figures = score(truth, sequence(found, frames=3))
    assert figures.ap[NOSE] == pytest.approx(100 * (1 / 3 + 1 / 3 * 2 / 3))
    assert figures.precision[NOSE] == figures.recall[NOSE] == pytest.approx(100 * 2 / 3)


def test_equal_scores_count_as_one_threshold_whatever_their_order():
    truth = sequence([person(n, 0, nose=(100, 50)) for n in (1, 2)], frames=2)
    right, wrong = person(1, 0, 0.5, nose=(100, 50)), person(2, 0, 0.5, nose=(300, 50))
    assert score(truth, sequence([right, wrong], frames=2)).ap[NOSE] == pytest.approx(100 * 0.5 * 0.5)
    for found in ([right, wrong], [wrong, right]):  # frames count in their order: the wrong one is the later
        figures = score(truth, sequence(found, frames=2), dataclasses.replace(Rules(), later_first=True))
        assert figures.ap[NOSE] == pytest.approx(100 * 0.5 * 0.5)
    other = [person(1, 0, 0.5, nose=(300, 50)), person(2, 0, 0.5, nose=(100, 50))]
    assert score(truth, sequence(other, frames=2)).ap[NOSE] == pytest.approx(25)
    figures = score(truth, sequence(other, frames=2), dataclasses.replace(Rules(), later_first=True))
    assert figures.ap[NOSE] == pytest.approx(50)


def test_a_joint_that_a_person_is_annotated_without_does_not_count():
    truth = sequence([person(n, 0, nose=(100, 50)) for n in (1, 2)], frames=2)
    found = sequence([person(n, 3, 0.9, nose=(100, 50), head_top=(100, 20)) for n in (1, 2)], frames=2)
    figures = score(truth, found)
    assert figures.ap[-1] == figures.mota[-1] == 100
    assert np.isnan(figures.mota[TOP])
    two = sequence([person(1, 0, nose=(100, 50)), person(1, 1, nose=(300, 50), head_top=(300, 20))])
    found = [
        person(1, 4, 0.9, nose=(100, 50), head_top=(500, 20)),
        person(1, 5, 0.9, nose=(300, 50), head_top=(300, 20)),
    ]
    assert score(two, sequence(found)).mota[TOP] == 100
    strict = score(two, sequence(found), dataclasses.replace(Rules(), unlabelled_is_false=True))
    assert strict.mota[TOP] == pytest.approx(0)  # of one object, one false positive
    assert strict.precision[TOP] == pytest.approx(50)


def test_the_last_frame_and_frames_without_predictions_count():
    truth = sequence([person(n, t, nose=(100 * t, 50)) for n in (1, 2) for t in (1, 2)], frames=2)
    found = sequence([person(1, t, 0.9, nose=(100 * t, 50)) for t in (1, 2)], frames=2)
    assert score(truth, found).mota[NOSE] == pytest.approx(50)  # two of four missed
    merged = score(truth, found, dataclasses.replace(Rules(), merge_empty_frames=True))
    assert merged.mota[NOSE] == pytest.approx(100 * (1 - 2 / 3))
    skipped = score(truth, found, dataclasses.replace(Rules(), skip_last_frame=True))
    assert skipped.mota[NOSE] == 100


def test_frames_without_people_count_where_they_are_labelled():
    truth = sequence([person(1, 0, nose=(100, 50))], frames=3, unlabelled=(3,))
    found = sequence([person(n, 0, 0.9, nose=(100, 50)) for n in (1, 2, 3)], frames=3)
    figures = score(truth, found)
    assert (figures.precision[NOSE], figures.mota[NOSE]) == (50, 0)
    assert score(truth, found, dataclasses.replace(Rules(), skip_empty_frames=True)).mota[NOSE] == 100


def test_ignored_regions_take_joints_from_both():
    region = {"ignore_regions_x": [[0, 50, 50, 0]], "ignore_regions_y": [[0, 0, 99, 99]]}
    truth = sequence([person(1, 0, nose=(100, 50)), person(1, 1, nose=(20, 50))], **region)
    found = sequence([person(1, 0, 0.5, nose=(100, 50)), person(1, 2, 0.9, nose=(30, 30))], **region)
    figures = score(truth, found)
    assert figures.ap[NOSE] == figures.mota[NOSE] == 100


def test_polygons_by_hand():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float)
    points = np.array([[1, 1], [4, 1], [0, 0], [2, 4], [5, 1], [-1, 0], [3.9, 3.9]], float)
    assert inside(points, square).tolist() == [True, False, False, False, False, False, True]
    assert inside(points, square[::-1]).tolist() == inside(points, square).tolist()
    bow = np.array([[0, 0], [4, 4], [4, 0], [0, 4]], float)  # crosses itself
    assert inside(np.array([[1, 2], [3, 2], [2, 1], [2, 3]], float), bow).tolist() == [True, True, False, False]
    assert not inside(points, np.zeros((0, 2))).any()
    assert not inside(points, square[:2]).any()


def test_people_are_assigned_by_the_share_of_joints():
    present = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
    match = np.array([[[1, 1, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 0, 0, 0]]], bool)
    assert assign_people(match, present).tolist() == [1, 0]
    assert assign_people(match[:, :1], present[:1]).tolist() == [-1, 0]  # the better one
    assert assign_people(match[:1, :, ::-1], present[:, ::-1]).tolist() == [1]
    assert assign_people(np.zeros((2, 0, 4), bool), present[:0]).tolist() == [-1, -1]


def test_points_of_v_0_with_coordinates_are_there():
    truth = sequence([person(1, 0, nose=(100, 50, 0))])
    assert score(truth, sequence([person(1, 0, 0.9, nose=(100, 50))])).ap[NOSE] == 100


def test_two_people_of_one_track_id_are_a_line_and_none_is_lost():
    truth = sequence([person(1, t, nose=(100 * t, 50)) for t in (1, 2)])
    found = sequence([person(1, 3, 0.9, nose=(100 * t, 50)) for t in (1, 2)])
    with pytest.warns(
        RuntimeWarning, match=r"sequence one, images/one/1.jpg: expected track ids that differ .* 3 twice"
    ):
        figures = score(truth, found)
    assert figures.ap[NOSE] == figures.mota[NOSE] == 100
    with pytest.raises(ValueError, match="expected track ids that differ in a frame, got 3 twice"):
        score(truth, found, Rules.original())


def test_without_track_ids_there_are_no_tracks():
    truth = sequence([person(1, 0, nose=(100, 50))])
    figures = score(truth, sequence([person(1, None, 0.9, nose=(100, 50))]))
    assert figures.ap[NOSE] == 100
    assert np.isnan(figures.mota).all()
    mixed = [person(1, None, 0.9, nose=(100, 50)), person(1, 1, 0.9, nose=(100, 50))]
    with pytest.raises(ValueError, match="expected a track_id of each person"):
        score(truth, sequence(mixed))


def test_no_predictions_and_nothing_at_all():
    truth = sequence([person(1, 0, nose=(100, 50))])
    figures = score(truth, sequence([]))
    assert (figures.ap[NOSE], figures.recall[NOSE], figures.mota[NOSE]) == (0, 0, 0)
    assert np.isnan(figures.precision[NOSE])
    assert all(np.isnan(values).all() for values in score(sequence([]), sequence([])))


@pytest.mark.parametrize(("head", "got"), [(None, "got none"), ((3, 3, 0, 0), "got one of size 0")])
def test_a_person_without_head_has_no_unit_of_distance(head, got):
    truth = sequence([person(1, 0, head=head, nose=(100, 50))])
    with pytest.raises(ValueError, match=f"images/one/1.jpg, person 0: bbox_head: expected a box of the head.*{got}"):
        score(truth, sequence([person(1, 0, 0.9, nose=(100, 50))]))


def test_missing_sequences_and_frames_are_named():
    truth = read(sequence([person(1, 0, nose=(100, 50))], frames=2))
    with pytest.raises(ValueError, match="predictions: expected those of sequence one, got none"):
        evaluate(truth, {})
    with pytest.raises(ValueError, match=r"predictions: sequence one: expected image images/one/2.jpg, got 1 others"):
        evaluate(truth, read(sequence([], frames=1)))


@pytest.mark.parametrize("case", GOLDEN)
def test_figures_of_poseval(data, case):
    content = json.loads((data / "top_down" / f"poseval_{case}.json").read_text())
    truth, predictions = (
        {name: next(iter(read_2018(one, name).values())) for name, one in content[kind].items()}
        for kind in ("ground_truth", "predictions")
    )
    figures = evaluate(truth, predictions, rules=Rules.original())
    assert set(figures) == {*content["ground_truth"], "total"}
    for name, own in figures.items():
        ap, mot = (content["expected"][f"{name}_{kind}_metrics"] for kind in ("AP", "MOT"))
        assert {n: ap["names"][str(n)] for n in range(15)} == dict(enumerate(NAMES))
        expected = (ap["ap"], ap["pre"], ap["rec"], mot["mota"], mot["motp"], mot["pre"], mot["rec"])
        for label, values, wanted in zip(FIGURES, own, expected, strict=True):
            np.testing.assert_allclose(values, np.array(wanted, float), rtol=0, atol=1e-9, err_msg=f"{name} {label}")


def test_poseval_refuses_two_people_of_one_track_id(data):
    content = json.loads((data / "top_down" / "poseval_7_same_track_id_twice.json").read_text())
    name, file = next(iter(content["ground_truth"].items()))
    truth, predictions = read(file, name), read(content["predictions"][name], name)
    frame = content["expected"]["error"].split(" in frame ")[1].split(" of ")[0]
    with pytest.raises(ValueError, match=f"{name}, {frame}: expected track ids that differ in a frame"):
        evaluate(truth, predictions, rules=Rules.original())
    with pytest.warns(RuntimeWarning, match="each later person counts as a track of one frame"):
        assert evaluate(truth, predictions)["total"].ap[-1] > 50


def test_labels_of_poseval(data):
    content = json.loads((data / "top_down" / "poseval_assignment.json").read_text())
    from personlab.metrics.poseval import _tally  # what a frame adds

    truth, predictions = (read(content[kind])["one"] for kind in ("ground_truth", "predictions"))
    for number, pair in enumerate(zip(truth, predictions, strict=True)):
        tally = _tally([pair], Rules.original(), tracking=False)
        for joint in range(15):
            assert tally.scores[joint] == content["scores"][joint][number]
            assert tally.labels[joint] == [bool(label) for label in content["labels"][joint][number]]
            assert tally.truth[joint] == content["num_gt"][joint][number]


def test_each_rule_of_the_original_by_itself(data):
    """The right MOTP of case 2 is 73.19, where poseval prints 45.35; a perfect tracker has 100 by default."""

    def total(case, rules):
        content = json.loads((data / "top_down" / f"poseval_{case}.json").read_text())
        sequences = [
            {name: next(iter(read_2018(one, name).values())) for name, one in content[kind].items()}
            for kind in ("ground_truth", "predictions")
        ]
        return evaluate(*sequences, rules=rules)["total"]

    right = dataclasses.replace(Rules.original(), sum_logged_distances=False)
    assert round(total("2_noisy", Rules.original()).motp[-1], 2) == 45.35
    assert round(total("2_noisy", right).motp[-1], 2) == 73.19
    perfect = total("1_perfect", Rules())
    assert all(values[-1] > 99.9 for values in perfect)
    assert total("1_perfect", Rules.original()).mota[-1] < 82
