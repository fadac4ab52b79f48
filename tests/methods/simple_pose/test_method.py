"""Simple Pose through the seam: it trains, resumes, saves, loads, exports, predicts, is scored and drawn."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_maps import perfect_maps  # noqa: E402
from tiny_runs import STEPS, same, tensors, tiny  # noqa: E402

from personlab import COCO_PERSON, Predictor, SimplePoseOptions, load_model  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.data.augment import Augmentation  # noqa: E402
from personlab.data.coco import People  # noqa: E402
from personlab.data.grid import Grid  # noqa: E402
from personlab.data.synthetic import make_scene  # noqa: E402
from personlab.methods import get_method  # noqa: E402
from personlab.methods.base import InputOptions, Setup  # noqa: E402
from personlab.methods.simple_pose import views  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.fields import SimplePoseFields  # noqa: E402
from personlab.methods.simple_pose.loss_options import SimplePoseLossOptions  # noqa: E402
from personlab.methods.simple_pose.network import Outputs, SimplePose  # noqa: E402
from personlab.methods.simple_pose.parts import BODY  # noqa: E402
from personlab.nn import export_onnx  # noqa: E402
from personlab.settings import Settings  # noqa: E402
from personlab.train import (  # noqa: E402
    DataOptions,
    EvaluationOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    TrainConfig,
    train,
)

pytestmark = pytest.mark.torch
METHOD = get_method("simple_pose")


def run_of(folder, **more):
    settings = {
        "method": "simple_pose",
        "network": NetworkOptions(width=0.5, stride=4),
        "data": DataOptions(scene_size=(96, 128), scene_people=(1, 2), crop=(64, 80), workers=0),
        "optimizer": OptimizerOptions(rate=3e-3, warmup=2, schedule="constant", clip_norm=5000),
        "evaluation": EvaluationOptions(scenes=2, long_edge=128),
        "augmentation": Augmentation(scale=(0.7, 1.1), flip=0.5, centre="person", shift=0.2),
    }
    return tiny(folder, **{**settings, **more})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simple-pose")
    return folder, train(run_of(folder, steps=12))


@pytest.fixture(scope="module")
def scene():
    return make_scene(3, size=(192, 256), people=2)


class Perfect(SimplePose):
    """Returns the maps of the people of one image, as the padded input shows it; mirrored where the input is."""

    def __init__(self, config, scene):
        super().__init__(config)
        self.scene, self.shown = scene, []
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, images):
        self.shown.append(tuple(images.shape))
        height = max(row for row in range(images.shape[2]) if not (images[0, :, row] == 128).all()) + 1  # no padding
        keypoints, limbs, grid = perfect_maps(
            self.scene.keypoints, self.scene.image.shape[:2], stride=self.config.stride, height=height,
            pad=self.config.input_step,
        )  # fmt: skip
        maps = {"keypoints": keypoints[None], "limbs": limbs[None]}
        left = images[0, :, :height, : grid.input_size[1]].numpy().astype(float)
        upright = abs(
            left - np.asarray(views._resized(self.scene.image, left.shape[1:], cubic=False)).transpose(2, 0, 1)
        )
        if upright.mean() > 1:
            maps = views.unflip(maps, BODY)
        return Outputs(*(torch.from_numpy(np.ascontiguousarray(maps[name])) for name in ("limbs", "keypoints")))


def nearest(poses, people):
    """Distances of labelled keypoints from those of the nearest person found."""
    worst = []
    for person in people:
        known = person[:, 2] > 0
        away = np.linalg.norm(poses.keypoints[:, known] - person[None, known, :2], axis=-1)
        worst.append(away[away.mean(axis=1).argmin()])
    return np.concatenate(worst)


# --- training ---------------------------------------------------------------------------------------------------------


def test_it_trains(trained):
    folder, summary = trained
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    names = {"total", "limb", "keypoint", "person", "brightest", "gradient"}
    assert lines[0].keys() - {"step", "images_per_second", "waiting", "rate"} == names
    assert lines[5]["total"] < lines[0]["total"]
    assert summary.figures.keys() == {"keypoint_ap", "evaluation_seconds"}  # no masks
    saved = TrainConfig.from_json((folder / "config.json").read_text())
    assert (saved.method, saved.loss) == ("simple_pose", SimplePoseLossOptions())


def test_stopping_and_going_on_is_as_one_run(trained, tmp_path):
    train(run_of(tmp_path / "run", steps=STEPS))
    train(run_of(tmp_path / "run", steps=12), resume=True)
    for name in ("weights", "weights-raw", "checkpoint"):
        assert same(tensors(trained[0], name), tensors(tmp_path / "run", name))


def test_it_is_loaded_and_gone_on_with(trained, tmp_path):
    model = load_model(trained[1].weights)
    assert isinstance(model, SimplePose)
    assert model.config == SimplePoseConfig(width=0.5, stride=4)
    assert model.settings.long_edge == 128
    options = NetworkOptions(weights=str(trained[1].weights))
    still = OptimizerOptions(rate=1e-12, warmup=0, weight_decay=0)
    train(run_of(tmp_path / "run", steps=1, network=options, optimizer=still))
    before, after = tensors(trained[0]), tensors(tmp_path / "run")
    for name, _ in model.named_parameters():  # batch norm's statistics go on
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": DataOptions(crop=(65, 81))}, ValueError, "data.crop: expected multiples of 16"),
        ({"network": NetworkOptions(masks=True)}, ValueError, "network.masks: expected none, for networks of simple_p"),
        ({"network": NetworkOptions(backbone="hourglass")}, ValueError, "data.crop: expected multiples of 64"),
        ({"network": NetworkOptions(stride=5)}, ValueError, "stride: expected one of 4, 8, 16, got 5"),
    ],
)
def test_settings_at_odds_with_the_method(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        train(run_of(tmp_path / "run", **change))


def test_losses_of_another_method_are_refused(tmp_path):
    with pytest.raises(TypeError, match="loss: expected SimplePoseLossOptions, got LossOptions"):
        TrainConfig(method="simple_pose", loss=LossOptions())
    with pytest.raises(TypeError, match="loss: expected SimplePoseLossOptions, got LossOptions"):
        train(TrainConfig(output=str(tmp_path / "run")), method="simple_pose")
    with pytest.raises(
        ValueError, match=r"method: expected one of personlab, simple_pose, simple_baseline, got 'pose'"
    ):
        TrainConfig(method="pose")


def test_an_hourglass_trains(tmp_path):
    network = NetworkOptions(backbone="hourglass", stacks=2, channels=32, increase=0)
    train(run_of(tmp_path / "run", network=network, data=DataOptions(scene_size=(96, 128), crop=(64, 64), workers=0)))
    assert load_model(tmp_path / "run" / "weights.safetensors").config.stacks == 2


def test_the_command(tmp_path, capfd):
    folder = tmp_path / "run"
    command = [
        "train", "--method", "simple_pose", "--output", str(folder), "--steps", "1", "--batch-size", "1", "--data.crop",
        "64", "64", "--data.scene_size", "64", "64", "--data.workers", "0", "--evaluation.scenes", "1",
        "--network.width", "0.5", "--evaluation.long_edge", "64",
    ]  # fmt: skip
    assert main([*command, "--loss.disk_radius", "3"]) == 2
    assert "loss.disk_radius: expected none, for losses of simple_pose have no such option" in capfd.readouterr().err
    assert main([*command, "--loss.kind", "l1"]) == 2
    assert "loss.kind" in capfd.readouterr().err
    assert main([*command, "--loss.kind", "l2", "--loss.limb_sigma", "5"]) == 0
    out, _ = capfd.readouterr()
    assert "keypoint ap" in out
    saved = TrainConfig.from_json((folder / "config.json").read_text())
    assert (saved.loss.kind, saved.loss.limb_sigma) == ("l2", 5.0)
    assert main(["train", "--resume", "--output", str(folder), "--steps", "2"]) == 0
    capfd.readouterr()
    assert main(["train", "--resume", "--method", "personlab", "--output", str(folder)]) == 2
    assert "--method: expected simple_pose as in the run to go on with, got personlab" in capfd.readouterr().err
    assert main(["info", str(folder / "weights.safetensors")]) == 0
    facts = capfd.readouterr().out
    assert "mobilenet_v1, width 0.5" in facts
    assert "train loss.kind" in facts
    assert "train loss.gamma" not in facts  # the method's default


def test_the_shipped_configuration(tmp_path, capfd):
    output = ["--output", str(tmp_path / "run"), "--steps", "1", "--evaluation.scenes", "1", "--data.workers", "0"]
    assert main(["train", "--config", "simple-pose-drawn", *output, "--batch-size", "1"]) == 0
    saved = TrainConfig.from_json((tmp_path / "run" / "config.json").read_text())
    assert (saved.method, saved.network.backbone, saved.data.crop) == ("simple_pose", "mobilenet_v1", (256, 256))


# --- targets of the seam ----------------------------------------------------------------------------------------------


def test_targets_of_a_view(scene):
    size = scene.image.shape[:2]
    crowd = np.zeros(size, bool)
    crowd[:16, :16] = True
    people = People(scene.keypoints, scene.masks, crowd)
    targets = METHOD.encode(people, Grid(size, 8, COCO_PERSON, has_masks=True), SimplePoseLossOptions())
    assert isinstance(targets, METHOD.targets)
    assert targets.limbs.shape == (30, 24, 32)
    np.testing.assert_array_equal(targets.weights[0, :3, :3], [[0, 0, 1], [0, 0, 1], [1, 1, 1]])
    nobody = scene.keypoints.copy()
    nobody[0] = 0
    hidden = METHOD.encode(
        People(nobody, scene.masks, crowd), Grid(size, 8, COCO_PERSON, has_masks=True), SimplePoseLossOptions()
    )
    inside = scene.masks[0].reshape(24, 8, 32, 8).all(axis=(1, 3))
    assert inside.any()
    assert not hidden.weights[0][inside].any()
    bare = METHOD.encode(people, Grid(size, 8, COCO_PERSON, has_masks=False), SimplePoseLossOptions())
    assert not bare.person_weights.any()
    unoutlined = np.zeros(size, bool)
    unoutlined[:, :100] = True
    boxes = METHOD.encode(
        people._replace(unoutlined=unoutlined), Grid(size, 8, COCO_PERSON, has_masks=True), SimplePoseLossOptions()
    )
    assert not boxes.person_weights[..., :13].any()
    np.testing.assert_array_equal(boxes.weights, targets.weights)


# --- prediction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ({}, [(1, 3, 192, 256)]),
        ({"long_edge": 200}, [(1, 3, 160, 208)]),
        ({"flip": True}, [(1, 3, 192, 256)] * 2),
        ({"scales": (0.75, 1.5), "flip": True}, [(1, 3, 288, 384)] * 2 + [(1, 3, 144, 192)] * 2),
    ],
)
@pytest.mark.parametrize("stride", [4, 8])
def test_perfect_maps_come_back_as_people(scene, inputs, shapes, stride):
    network = Perfect(SimplePoseConfig(stride=stride), scene)
    predictor = Predictor(network, **{"long_edge": 256, "keep_fields": True, **inputs})
    prediction = predictor(scene.image)
    assert network.shown == shapes
    assert isinstance(prediction.fields, METHOD.fields)
    assert len(prediction.poses) == 2
    assert prediction.masks is None
    away = nearest(prediction.poses, scene.keypoints)
    assert np.median(away) < 0.75
    assert (prediction.poses.scores > 0.7).all()
    assert prediction.to_coco(3)[0]["image_id"] == 3


def test_the_originals_take_each_scale_for_itself(scene):
    network = Perfect(SimplePoseConfig(stride=4), scene)
    options = SimplePoseOptions.original(position="centroid")
    predictor = Predictor(network, long_edge=192, scales=(1, 0.5), flip=True, options=options, keep_fields=True)
    prediction = predictor(scene.image)
    assert [shape[2:] for shape in network.shown] == [(192, 256)] * 2 + [(96, 128)] * 2  # the height is 192
    assert len(prediction.fields.others) == 1
    assert prediction.fields.others[0].grid.input_size == (96, 128)
    assert len(prediction.poses) == 2
    assert np.median(nearest(prediction.poses, scene.keypoints)) < 3


def test_scales_are_resampled_where_the_image_shows_the_same():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:30, :40]
    fine = np.exp(-((x - 20) ** 2 + (y - 14) ** 2) / 40)[None, None].astype(np.float32)
    coarse = fine.reshape(1, 1, 15, 2, 20, 2).mean(axis=(3, 5))
    back = views.resampled(coarse, (60, 80), (30, 40), (120, 160))
    np.testing.assert_allclose(back, fine, atol=0.02)
    same_grid = rng.random((2, 3, 4, 5), np.float32)
    assert views.resampled(same_grid, (16, 20), (4, 5), (16, 20)) is same_grid


def test_left_and_right_in_mirrored_maps():
    maps = {"keypoints": np.zeros((1, 18, 2, 5), np.float32), "limbs": np.zeros((1, 30, 2, 5), np.float32)}
    maps["keypoints"][0, 2, 1, 0] = 1  # right shoulder
    maps["limbs"][0, 24, 0, 1] = 1  # 8-12, right hip to left knee
    maps["limbs"][0, 29, 0, 4] = 1  # 8-11, the hips
    upright = views.unflip(maps, BODY)
    assert np.argwhere(upright["keypoints"]).tolist() == [[0, 5, 1, 4]]  # left shoulder
    assert np.argwhere(upright["limbs"]).tolist() == [[0, 26, 0, 3], [0, 29, 0, 0]]  # 11-9


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (900, 2), (37, 53)])
def test_images_of_any_size(size):
    network = SimplePose(SimplePoseConfig(width=0.5))
    image = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype(np.uint8)
    prediction = Predictor(network, long_edge=96, flip=True, scales=(0.5, 1))(image)
    assert prediction.poses.keypoints.shape[1:] == (17, 2)
    assert np.isfinite(prediction.poses.keypoints).all()


def test_too_large_an_input_is_made_smaller():
    setup = Setup(
        config=SimplePoseConfig(), settings=Settings(), options=SimplePoseOptions(),
        inputs=InputOptions(long_edge=4000, max_pixels=100 * 100),
    )  # fmt: skip
    notes = []
    prepared = views.prepare(np.zeros((300, 400, 3), np.uint8), setup, notes)
    assert prepared.views[0].shape[1] * prepared.views[0].shape[2] <= 10000
    assert "of at most 10000 pixels" in notes[0]


def test_a_radius_of_discs_is_refused():
    network = SimplePose(SimplePoseConfig(width=0.5))
    with pytest.raises(ValueError, match="disk_radius: expected None, for simple_pose has no discs"):
        Predictor(network, disk_radius=3)


def test_fields_are_saved(tmp_path, scene):
    network = Perfect(SimplePoseConfig(stride=4), scene)
    fields = Predictor(network, long_edge=256, keep_fields=True)(scene.image).fields
    fields.save(tmp_path / "fields.npz")
    with np.load(tmp_path / "fields.npz") as saved:
        np.testing.assert_array_equal(saved["limbs"], fields.limbs)
        assert saved["size"].tolist() == [192, 256]
    with pytest.raises(ValueError, match="limbs: expected shape"):
        SimplePoseFields(keypoints=fields.keypoints, limbs=fields.limbs[:, 1:], grid=fields.grid)


def test_drawings(trained, scene):
    network = Perfect(SimplePoseConfig(stride=4), scene)
    prediction = Predictor(network, long_edge=256, keep_fields=True, keep_image=True)(scene.image)
    drawings = METHOD.draw(
        prediction.fields, prediction.image, prediction.poses, None, options=SimplePoseOptions(), skeleton=COCO_PERSON
    )
    assert list(drawings)[:7] == ["people", "keypoints", "limbs", "order", "bodies", "body_1", "body_2"]
    assert len(drawings) == 7 + 18 + 30
    for name, drawing in drawings.items():
        assert drawing.shape == scene.image.shape or name.startswith("body_"), name
        assert drawing.dtype == np.uint8
    x, y = scene.keypoints[0, 0, :2].round().astype(int)
    assert drawings["keypoints"][y, x].tolist() == pytest.approx([255, 96, 32], abs=25)


# --- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        SimplePoseConfig(width=0.5, stride=4),
        SimplePoseConfig(backbone="hourglass", stacks=1, channels=32, increase=0),
    ],
    ids=["mobilenet", "hourglass"],
)
@pytest.mark.filterwarnings("ignore")
def test_export_to_onnx(tmp_path, config):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = SimplePose(config).eval()
    export_onnx(network, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == ["limbs", "keypoints"]
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["personlab.method"] == "simple_pose"
    assert SimplePoseConfig.from_json(facts["personlab.config"]) == config
    for shape in ((1, 3, 64, 128), (3, 3, 192, 64)):
        images = torch.randint(0, 256, shape).float()
        with torch.inference_mode():
            expected = network(images)
        ours = session.run(None, {"images": images.numpy()})
        for one, other in zip(ours, expected[:2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "drawn"
    assert main(["scenes", "--output", str(folder), "--count", "2", "--size", "96", "128"]) == 0
    return folder


def test_predict_and_evaluate(trained, scenes, tmp_path, capfd):
    images, network = str(scenes / "images"), ["--weights", str(trained[1].weights), "--engine", "torch"]
    results = tmp_path / "people.json"
    out = ["--output", str(tmp_path / "drawn"), "--json", str(results), "--fields"]
    assert main(["predict", images, *network, *out, "--method", "simple_pose", "--decode.min_score", "0"]) == 0
    assert isinstance(json.loads(results.read_text()), list)
    assert len(list((tmp_path / "drawn").rglob("limbs.*"))) == 2
    files = sorted((tmp_path / "drawn").rglob("*.npz"))
    assert len(files) == 2
    for file in files:
        capfd.readouterr()
        assert main(["decode", str(file), "--method", "simple_pose", "--decode.min_score", "0", "--json", "-"]) == 0
        number = int(re.findall(r"\d+", str(file.relative_to(tmp_path / "drawn")))[0])
        expected = [one for one in json.loads(results.read_text()) if one["image_id"] == number]
        decoded = json.loads(capfd.readouterr().out)
        assert [{**one, "image_id": number} for one in decoded] == expected
    capfd.readouterr()
    annotations = ["--annotations", str(scenes / "person_keypoints.json"), "--images", images]
    assert main(["evaluate", *annotations, *network, "--compare", "--decode.limb_threshold", "0.2"]) == 0
    assert "keypoint AP" in capfd.readouterr().out
    for flags, message in (
        (["--decode.hough_stride", "1"], "--decode.hough_stride: has no effect on a network of simple_pose"),
        (["--posenet"], "--posenet: has no effect on a network of simple_pose"),
        (["--method", "personlab"], "--method: expected simple_pose for"),
        (["--preset", "original", "--decode.nms_radius", "3"], "--decode.nms_radius: has no effect on"),
        (["--decode.min_support", "2"], "min_support: expected"),
    ):
        assert main(["evaluate", *annotations, *network, *flags]) == 2, flags
        assert message in capfd.readouterr().err
    drawn = ["--weights", "drawn-mobilenet-050", "--engine", "torch"]
    assert main(["predict", images, *drawn, "--decode.limb_threshold", "0.2"]) == 2
    assert "--decode.limb_threshold: has no effect on a network of personlab" in capfd.readouterr().err
    assert main(["predict", images, *drawn, "--preset", "original"]) == 2
    assert "--preset: has no effect on a network of personlab" in capfd.readouterr().err
    assert main(["evaluate", *annotations, *network, "--preset", "original"]) == 0
    assert "keypoint AP" in capfd.readouterr().out


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The weights of the trained network, and a cache for the exported file that every engine runs."""
    return str(trained[1].weights), tmp_path_factory.mktemp("exported")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_other_engines_see_the_same(exported, scene, engine, monkeypatch):
    pytest.importorskip(engine)
    weights, cache = exported
    monkeypatch.setenv("PERSONLAB_CACHE", str(cache))
    maps = [
        Predictor(weights, engine=one, precision="float32", long_edge=250, keep_fields=True)(scene.image).fields
        for one in ("torch", engine)
    ]
    for name in ("keypoints", "limbs"):
        np.testing.assert_allclose(getattr(maps[1], name), getattr(maps[0], name), atol=1e-4)
