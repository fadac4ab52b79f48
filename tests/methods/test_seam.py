"""The seam serves any method: one that is in no table trains, predicts, saves, loads, exports, is scored and drawn."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from fake_networks import spots
from published import random_model
from safetensors.torch import load_file, save_file
from tiny_runs import STEPS, same, tensors, tiny
from toy_method import TOY, ToyConfig, ToyNetwork, ToyOptions, ToyOutputs

from personlab import DecodeOptions, Predictor, load_model
from personlab.commands.demo import make_demo
from personlab.data.coco import People, make_annotations
from personlab.data.grid import Grid
from personlab.data.synthetic import make_scene
from personlab.methods import METHODS, get_method, method_of
from personlab.nn import export_onnx
from personlab.predict.ceiling import evaluate_ceiling
from personlab.predict.dataset import predict_dataset, score_results
from personlab.train import LossOptions, NetworkOptions, OptimizerOptions, train
from personlab.weights import load_checkpoint, load_settings, save_model


def toy_run(folder, **more):
    rates = OptimizerOptions(rate=1e-2, warmup=0, schedule="constant")
    return tiny(folder, **{"network": NetworkOptions(), "optimizer": rates, **more})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return folder, train(toy_run(folder, steps=20), method=TOY)


@pytest.fixture
def scene():
    return make_scene(1, size=(97, 129), people=1)


class Brightest(ToyNetwork):
    """Finds every keypoint at the brightest cell."""

    def forward(self, images):
        light = images.float().mean(1, keepdim=True)[..., ::8, ::8] / 25.5 - 5
        return ToyOutputs(light.expand(-1, self.config.skeleton.n_keypoints, -1, -1))


def test_the_table_gives_records_and_takes_them():
    record = get_method("personlab")
    assert record.name == "personlab"
    assert get_method(record) is record
    assert get_method(TOY) is TOY
    assert method_of(random_model()) is record
    assert method_of(ToyNetwork(ToyConfig())) is TOY
    with pytest.raises(ValueError, match=r"method: expected one of personlab.*, got 'toy'"):
        get_method("toy")
    with pytest.raises(TypeError):
        METHODS["toy"] = "toy_method"


def test_looking_a_method_up_imports_no_framework():
    program = (
        "import sys\nfrom personlab.methods import METHODS, get_method\n"
        "import personlab.predict, personlab.train, personlab.nn, personlab.weights, personlab.visualize\n"
        "print([get_method(name).name for name in METHODS], [m for m in ('torch', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{list(METHODS)} []\n", done.stderr


@pytest.mark.parametrize(("method", "options"), [(get_method("personlab"), LossOptions()), (TOY, LossOptions())])
def test_types_of_a_method_are_those_its_functions_return(method, options, scene):
    people = People(scene.keypoints, scene.masks, np.zeros((97, 129), bool))
    targets = method.encode(people, Grid((97, 129), 8, ToyConfig().skeleton, has_masks=True), options)
    assert isinstance(targets, method.targets)
    assert isinstance(method.every_pose, method.options)
    network = random_model(stride=8) if method is not TOY else ToyNetwork(ToyConfig())
    assert isinstance(network.config, method.config)
    prediction = Predictor(network, long_edge=129, keep_fields=True)(scene.image)
    assert isinstance(prediction.fields, method.fields)


def test_it_trains(trained):
    folder, summary = trained
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(2, 21, 2), 20]
    assert lines[0].keys() - {"step", "images_per_second", "waiting", "rate"} == {"total", "gradient"}
    assert lines[9]["total"] < 0.2 * lines[0]["total"]
    assert summary.figures.keys() == {"keypoint_ap", "evaluation_seconds"}  # no masks
    assert lines[-1]["keypoint_ap"] == summary.figures["keypoint_ap"]


def test_stopping_and_going_on_is_as_one_run(trained, tmp_path):
    train(toy_run(tmp_path / "run", steps=STEPS), method=TOY)
    train(toy_run(tmp_path / "run", steps=20), resume=True, method=TOY)
    for name in ("weights", "weights-raw", "checkpoint"):
        assert same(tensors(trained[0], name), tensors(tmp_path / "run", name))


def test_starting_from_its_weights(trained, tmp_path):
    still = OptimizerOptions(rate=1e-12, warmup=0, weight_decay=0)
    options = NetworkOptions(weights=str(trained[1].weights))
    train(toy_run(tmp_path / "run", steps=1, network=options, optimizer=still), method=TOY)
    before, after = tensors(trained[0]), tensors(tmp_path / "run")
    for name in before:
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)


def test_options_of_another_method_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"network\.width: expected none, for networks of toy have no such option"):
        train(toy_run(tmp_path / "run", network=NetworkOptions(width=0.5)), method=TOY)
    network = ToyNetwork(ToyConfig())
    with pytest.raises(TypeError, match="options: expected ToyOptions, got DecodeOptions"):
        Predictor(network, options=DecodeOptions())
    with pytest.raises(TypeError, match="threads: expected None, for ToyOptions has no such option, got 2"):
        Predictor(network, threads=2)
    with pytest.raises(ValueError, match="stride: expected 8, got 16"):
        Predictor(network, stride=16)
    with pytest.raises(TypeError, match="mask_options: expected None"):
        Predictor(network, mask_options=3)


def test_a_checkpoint_names_its_method(trained, tmp_path):
    weights = trained[1].weights
    checkpoint = load_checkpoint(weights, method=TOY)
    assert isinstance(checkpoint.model, ToyNetwork)
    assert checkpoint.metadata["steps"] == 20
    assert checkpoint.settings == load_settings(weights)  # which need no method
    assert same(checkpoint.model.state_dict(), tensors(trained[0]))
    with pytest.raises(ValueError, match=r"weights\.safetensors: method: expected one of personlab.*, got 'toy'"):
        load_model(weights)
    save_model(random_model(), tmp_path / "p.safetensors")
    with pytest.raises(ValueError, match=r"p\.safetensors: method: expected toy, got 'personlab'"):
        load_model(tmp_path / "p.safetensors", method=TOY)
    with pytest.raises(ValueError, match="method: expected toy, got 'personlab'"):
        load_model("drawn-mobilenet-050", method=TOY)
    (tmp_path / "toy.onnx").write_bytes(b"of somebody else")
    with pytest.raises(ValueError, match=r"toy\.onnx: expected \.safetensors"):  # it reads no published files
        load_model(tmp_path / "toy.onnx", method=TOY)


def edited(path, change):
    """Rewrite the metadata of a checkpoint."""
    entry = json.loads(
        json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])["__metadata__"][
            "personlab"
        ]
    )
    change(entry)
    save_file(load_file(path), path, {"personlab": json.dumps(entry)})


def test_a_checkpoint_that_names_none_is_personlabs(tmp_path):
    """As all are that were written before there was a second method."""
    path, model = tmp_path / "old.safetensors", random_model()
    save_model(model, path)
    edited(path, lambda entry: entry.pop("method"))
    assert same(load_model(path).state_dict(), model.state_dict())
    for wrong in (3, None, ["personlab"], "person\nlab"):
        edited(path, lambda entry, wrong=wrong: entry.update(method=wrong))
        with pytest.raises(ValueError, match=r"old\.safetensors: method: expected one of personlab"):
            load_model(path)
    edited(path, lambda entry: entry.update(method="x" * 1_000_000))
    with pytest.raises(
        ValueError, match=r"old\.safetensors: method: expected one of personlab, .*got 'xxx.*\.\.\.$"
    ) as error:
        load_model(path)
    assert len(str(error.value)) < 1100 + len(str(path))


def test_the_method_of_a_checkpoint_may_be_asked_for_by_name(tmp_path):
    path, model = tmp_path / "model.safetensors", random_model()
    save_model(model, path)
    assert same(load_model(path, method="personlab").state_dict(), model.state_dict())
    for wrong in ("toy", 3):
        with pytest.raises(ValueError, match=r"method: expected one of personlab, .*got"):
            load_model(path, method=wrong)


def test_it_predicts_one_image_a_list_and_a_stream():
    centres = [(24.0, 40.0), (104.0, 16.0), (56.0, 72.0)]
    images = [spots((97, 129), [centre] * 3) for centre in centres]
    predictor = Predictor(Brightest(ToyConfig()), long_edge=129, batch_size=2, keep_image=True)
    assert predictor.method is TOY
    assert predictor.options == ToyOptions()
    with predictor.stream(images) as stream:
        for centre, streamed, listed, image in zip(centres, stream, predictor(images), images, strict=True):
            for prediction in (streamed, listed, predictor(image)):
                np.testing.assert_allclose(prediction.poses.keypoints[0], [centre] * 17, atol=1e-4)
                assert prediction.masks is None
                assert prediction.to_coco(3)[0]["image_id"] == 3
    large = Predictor(Brightest(ToyConfig()), long_edge=129)(spots((193, 257), [(48.0, 80.0)] * 3, spread=18))
    np.testing.assert_allclose(large.poses.keypoints[0], [(48.0, 80.0)] * 17, atol=1e-3)  # the image's own pixels
    assert len(Predictor(Brightest(ToyConfig()), options=ToyOptions(min_probability=0.9999))(images[0]).poses) == 0


def test_it_is_scored_on_annotations():
    scenes = {n: make_scene(n, size=(97, 129), people=1) for n in (1, 2)}
    annotations = make_annotations(
        {n: People(scene.keypoints, scene.masks, np.zeros((97, 129), bool)) for n, scene in scenes.items()}
    )
    predictor = Predictor(ToyNetwork(ToyConfig()), long_edge=129, options=TOY.every_pose)
    results = predict_dataset(predictor, annotations, {n: scene.image for n, scene in scenes.items()})
    assert not results.problems
    assert len(results.keypoints) == 2
    scores = score_results(annotations, results, predictor.skeleton, masks=predictor.masks)
    assert scores.keys() == {"keypoint"}


def test_what_it_lacks_is_said(scene):
    people = People(scene.keypoints, scene.masks, np.zeros((97, 129), bool))
    with pytest.raises(ValueError, match="method: expected one with a ceiling, got toy"):
        evaluate_ceiling(TOY, {1: people}, stride=8)
    with pytest.raises(ValueError, match="method: expected one with a network in the package, got toy"):
        make_demo(TOY)


def test_it_is_drawn(scene):
    predictor = Predictor(Brightest(ToyConfig()), long_edge=129, keep_fields=True, keep_image=True)
    found = predictor(scene.image)
    assert (found.draw() != scene.image).any()
    drawings = predictor.method.draw(
        found.fields, found.image, found.poses, found.masks, options=predictor.options, skeleton=predictor.skeleton
    )
    assert drawings["heat"].shape == scene.image.shape
    assert drawings["heat"].any()


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
def test_it_is_exported(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = ToyNetwork(ToyConfig())
    export_onnx(network, tmp_path / "toy.onnx", size=(49, 33))
    session = onnxruntime.InferenceSession(tmp_path / "toy.onnx", providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_outputs()] == ["heat"]
    assert session.get_modelmeta().custom_metadata_map["personlab.method"] == "toy"
    pixels = torch.rand(1, 3, 33, 49) * 255
    with torch.no_grad():
        np.testing.assert_allclose(session.run(None, {"images": pixels.numpy()})[0], network(pixels).heat, atol=1e-4)
    assert network.training  # as it was
