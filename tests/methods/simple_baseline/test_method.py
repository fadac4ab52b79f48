"""Simple Baselines through the seam: training, files, prediction by boxes of every kind, ceiling and drawing."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_runs import tiny  # noqa: E402

from personlab import COCO_PERSON, Predictor, load_model  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.data.augment import Augmentation  # noqa: E402
from personlab.data.coco import People  # noqa: E402
from personlab.data.images import DrawnImages, Example  # noqa: E402
from personlab.data.single import DrawnPeople, person_boxes  # noqa: E402
from personlab.data.synthetic import make_scene  # noqa: E402
from personlab.methods.base import Boxes, InputOptions, Setup  # noqa: E402
from personlab.methods.simple_baseline.ceiling import perfect_fields  # noqa: E402
from personlab.methods.simple_baseline.config import SimpleBaselineConfig  # noqa: E402
from personlab.methods.simple_baseline.fields import SimpleBaselineFields  # noqa: E402
from personlab.methods.simple_baseline.method import METHOD  # noqa: E402
from personlab.methods.simple_baseline.network import Outputs, SimpleBaseline  # noqa: E402
from personlab.methods.simple_baseline.options import SimpleBaselineOptions  # noqa: E402
from personlab.methods.simple_baseline.targets import encode_targets  # noqa: E402
from personlab.methods.simple_baseline.views import draw_crop, take_crop  # noqa: E402
from personlab.settings import Settings  # noqa: E402
from personlab.skeleton import MPII_PERSON, POSETRACK_PERSON  # noqa: E402
from personlab.train import DataOptions, EvaluationOptions, NetworkOptions, train  # noqa: E402

pytestmark = pytest.mark.torch
SIZE = (96, 64)  # of crops
TINY = SimpleBaselineConfig(backbone="mobilenet_v1", width=0.5, channels=8, input_size=SIZE)


def scene_people(seed=3, people=2):
    scene = make_scene(seed, size=(97, 129), people=people)
    return scene, People(scene.keypoints, scene.masks, np.zeros((97, 129), bool))


def setup(options=SimpleBaselineOptions(), config=TINY, **inputs):  # noqa: B008  # frozen
    return Setup(config=config, settings=Settings(), inputs=InputOptions(long_edge=641, **inputs), options=options)


def test_perfect_maps_give_the_annotations_back():
    _, people = scene_people()
    poses = METHOD.decode(perfect_fields(people, options=METHOD.every_pose, size=SIZE), setup())
    labelled = people.keypoints[..., 2] > 0
    for own, shown in zip(people.keypoints, labelled, strict=True):
        errors = np.abs(poses.keypoints[:, shown] - own[shown, :2]).max(axis=(1, 2))
        assert errors.min() < 0.05


@pytest.mark.parametrize("name", ["coco", "mpii", "posetrack"])
def test_what_the_originals_wrote_by_their_presets(data, name):
    """Crops of the mirrored and the plain image, decoded, as the record of the method does it."""
    arrays = np.load(data / "top_down" / f"decode_{name}.npz")
    case = json.loads((data / "top_down" / f"decode_{name}.json").read_text())
    ears = replace(
        POSETRACK_PERSON, flip=(*range(5), *POSETRACK_PERSON.flip[5:])
    )  # which the original leaves as they are
    skeleton = {"coco": COCO_PERSON, "mpii": MPII_PERSON, "posetrack": ears}[name]
    config = SimpleBaselineConfig(skeleton=skeleton)
    how = setup(METHOD.presets[f"tensorflow_{name}"][0], config, flip=True)
    images = dict.fromkeys(one["image_id"] for one in case["detections"])
    ways, people, shown = [], [], np.zeros((4000, 4000, 3), np.uint8)
    for image in images:
        people.append([one for one in case["detections"] if one["image_id"] == image])
        boxes, scores = (np.array([one[key] for one in people[-1]], float) for key in ("bbox", "score"))
        prepared = METHOD.prepare(shown, how, [], Boxes(boxes, scores))
        assert [view.shape for view in prepared.views] == [(len(boxes), 256, 192, 3)] * 2
        ways.append(prepared.way)
    outputs = [{"heatmaps": arrays[f"{one}heatmaps_f16"].transpose(0, 3, 1, 2)} for one in ("", "flipped_")]
    rows = []
    for image, fields in zip(images, METHOD.merge(iter(outputs), ways, how, True), strict=True):
        rows += [(image, pose) for pose in METHOD.decode(fields, how)]
    assert len(rows) == len(case["results"])
    for (image, pose), expected in zip(rows, case["results"], strict=True):
        assert image == expected["image_id"]
        points = np.array(expected["keypoints"]).reshape(-1, 3)[:, :2]
        np.testing.assert_allclose(pose.keypoints[0], points, rtol=0, atol=6e-4)  # written to three places


def test_the_originals_mirror_the_crop_itself(data):
    """Where the default mirrors it so that cells meet."""
    image = np.load(data / "top_down" / "crop_target_coco.npz")["image"]
    boxes = Boxes(np.array([[30.0, 20, 50, 90], [-7, 3, 33, 60]]), np.ones(2))
    plain, other = METHOD.prepare(image, setup(METHOD.presets["pytorch_coco"][0], flip=True), [], boxes).views
    np.testing.assert_array_equal(other, plain[:, :, ::-1])
    plain, other = METHOD.prepare(image, setup(flip=True), [], boxes).views
    np.testing.assert_array_equal(other[:, :, 1:], plain[:, :, :0:-1])
    plain, other = METHOD.prepare(image, setup(SimpleBaselineOptions(flip_shift=0), flip=True), [], boxes).views
    np.testing.assert_array_equal(other[:, :, :-3], plain[:, :, -4::-1])


def test_views_of_training_are_those_of_the_originals(data):
    """The golden file has factor, rotation and flip as drawn; keypoints land where it says."""
    golden = np.load(data / "top_down" / "crop_target_coco.npz")
    image = golden["image"]

    class Drawn:
        """Draws the golden numbers in the order of the originals: N, U, (N), U."""

        def __init__(self, factor, degree, flip):
            self.normal = [(factor - 1) / 0.3, degree / 40]
            self.uniform = [0.0, 0.0 if flip else 1.0]

        def standard_normal(self):
            return self.normal.pop(0)

        def random(self):
            return self.uniform.pop(0)

    options = Augmentation(scale=(0.7, 1.3), rotation=80, flip=0.5)
    rows = zip(
        golden["train_scale_rotation_flip"], golden["train_boxes_xywh"], golden["train_joints"],
        golden["train_affine"], golden["train_coord"], golden["train_valid"], strict=True,
    )  # fmt: skip
    for (factor, degree, flip), box, joints, affine, coord, valid in rows:
        people = People(
            joints[None].astype(np.float32), np.zeros((1, *image.shape[:2]), bool), np.zeros(image.shape[:2], bool),
            boxes=box[None],
        )  # fmt: skip
        view = draw_crop(Drawn(factor, degree, flip), people, (256, 192), options)
        if not flip:
            np.testing.assert_allclose(np.column_stack([view.linear, view.shift]), affine, rtol=1e-5, atol=1e-3)
        _, shown = take_crop(Example(image, people), view, (256, 192), COCO_PERSON)
        (keypoints,) = shown.keypoints
        assert (keypoints[valid, 2] > 0).all()
        np.testing.assert_allclose(keypoints[valid, :2], coord[valid], atol=2e-2)


class Teller(SimpleBaseline):
    """Says of each crop where its brightest pixel is, for every keypoint."""

    def forward(self, images):
        light = images.float().mean(1)[:, ::4, ::4].flatten(1)
        y, x = np.divmod(light.argmax(1).numpy(), images.shape[3] // 4)
        points = np.repeat(np.stack([4 * x, 4 * y, np.ones(len(x))], -1)[:, None], 17, 1)
        return Outputs(torch.from_numpy(encode_targets(points, size=tuple(images.shape[2:])).heatmaps))


def spot(x, y):
    rows, columns = np.mgrid[:97, :129]
    light = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32)
    return np.repeat(light[..., None], 3, 2).astype(np.uint8)


@pytest.mark.parametrize("flip", [False, True])
def test_people_are_found_in_pixels_of_the_image(flip):
    predictor = Predictor(Teller(TINY).eval(), flip=flip)
    boxes = [[30, 20, 40, 60], [20, 10, 50, 70]]
    poses = predictor(spot(50, 40), boxes).poses
    assert len(poses) == 1  # both boxes show the same person
    np.testing.assert_allclose(poses.keypoints, np.tile((50, 40), (1, 17, 1)), atol=2.5)
    assert poses.scores[0] > 0.9


def test_boxes_without_use_are_said_and_nothing_else_is_lost():
    predictor = Predictor(Teller(TINY).eval())
    odd = [[30, 20, 0, 0], [500, 20, 9, 9], [float("nan"), 0, 9, 9], [30, 20, 40, 60], [30, 20, -4, 60]]
    with pytest.warns(RuntimeWarning) as caught:
        poses = predictor(spot(50, 40), odd).poses
    assert len(poses) == 1
    lines = [str(one.message) for one in caught]
    assert [line.partition(" is left out: it ")[2] for line in lines] == [
        "has no size", "lies outside of the image", "is not finite", "has no size",
    ]  # fmt: skip
    assert lines[1].startswith("image: box 1 with x, y, w, h = 500, 20, 9, 9 ")


def test_drawn_people_come_one_by_one():
    images = DrawnPeople(DrawnImages(1, size=(97, 129), people=(1, 3)))
    first, again = images.load(5), images.load(5)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.people.boxes, again.people.boxes)
    assert first.people.keypoints.shape == (1, 17, 3)
    with pytest.raises(ValueError, match="scene_people: expected scenes with people, got none"):
        DrawnPeople(DrawnImages(1, size=(9, 9), people=(0, 0))).load(0)


def test_boxes_are_annotated_or_drawn_around():
    _, people = scene_people()
    around = person_boxes(people)
    rows, columns = np.nonzero(people.masks[0])
    np.testing.assert_array_equal(around[0, :2], [columns.min(), rows.min()])
    own = people._replace(boxes=np.array([[1.0, 2, 3, 4], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(person_boxes(own), [[1, 2, 3, 4], around[1]])
    points = people._replace(masks=np.zeros_like(people.masks))
    labelled = people.keypoints[0, people.keypoints[0, :, 2] > 0, :2]
    np.testing.assert_allclose(person_boxes(points)[0, :2], labelled.min(axis=0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    network = NetworkOptions(backbone="mobilenet_v1", width=0.5, channels=8)
    data = DataOptions(scene_size=(97, 129), scene_people=(1, 2), crop=SIZE, workers=0)
    views = Augmentation(scale=(0.7, 1.3), rotation=30, flip=0.5, colour=0.1)
    config = tiny(
        folder, method="simple_baseline", network=network, data=data, augmentation=views, loss=None, steps=4,
        evaluation=EvaluationOptions(scenes=2),
    )  # fmt: skip
    return folder, train(config)


def test_it_trains_saves_and_goes_on(trained, tmp_path):
    folder, summary = trained
    assert summary.figures.keys() >= {"keypoint_ap", "evaluation_seconds"}
    model = load_model(summary.weights)
    assert model.config == TINY
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["total"]) for line in lines if "total" in line)
    flags = ["--network.weights", str(summary.weights), "--steps", "1", "--data.crop", "96", "64"]
    flags += ["--data.scene_size", "97", "129", "--evaluation.scenes", "1", "--batch-size", "2", "--data.workers", "0"]
    assert main(["train", "--method", "simple_baseline", "--output", str(tmp_path / "more"), *flags]) == 0


def test_fields_survive_their_file(tmp_path):
    _, people = scene_people()
    fields = perfect_fields(people, options=SimpleBaselineOptions(), size=SIZE)
    for mirrored in (None, fields.heatmaps * np.float32(0.5)):
        replace(fields, mirrored=mirrored).save(tmp_path / "fields.npz")
        again = METHOD.load(tmp_path / "fields.npz", False)
        for name in ("heatmaps", "affines", "scores"):
            np.testing.assert_array_equal(getattr(again, name), getattr(fields, name))
        np.testing.assert_array_equal(again.mirrored, mirrored)
        assert again.size == (97, 129)
    np.savez(tmp_path / "less.npz", heatmaps=fields.heatmaps)
    with pytest.raises(ValueError, match=r"less\.npz: expected an array 'affines', got heatmaps"):
        SimpleBaselineFields.load(tmp_path / "less.npz")


def test_a_batch_is_drawn():
    network = SimpleBaseline(TINY)
    batch = SimpleNamespace(images=torch.zeros(2, 3, *SIZE, dtype=torch.uint8), heatmaps=torch.rand(2, 17, 24, 16))
    assert METHOD.draw_batch(network, batch, None).shape == (2 * SIZE[0], 2 * SIZE[1], 3)
    assert network.training
