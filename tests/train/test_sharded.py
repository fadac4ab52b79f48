"""A run on shards gives the bits of a run on the files, whatever reads them, and goes on as one."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from shard_files import PER_SHARD, shard, write_dataset
from tiny_runs import same, tensors, tiny

import personlab.train.loop as loop
from personlab.data.augment import Augmentation
from personlab.data.shards.shard_set import find_shards
from personlab.train import DataOptions, EvaluationOptions, NetworkOptions, OptimizerOptions, train

for module in ("cv2", "pycocotools", "pyarrow", "tqdm"):
    pytest.importorskip(module)

FORMATS = ("tar", "parquet")
STEPS = 7  # of two images: a second pass over the eight that are not held out begins in step 5


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    annotations, images = write_dataset(folder / "files", size=(96, 128))
    for name in FORMATS:
        assert shard(annotations, images, folder / name, "--format", name, "--count", PER_SHARD) == 0
    (folder / "ids.txt").write_text("2\n7\n")
    return folder


METHODS = {
    "personlab": {"network": NetworkOptions(width=0.5)},
    "simple_pose": {
        "network": NetworkOptions(width=0.5, stride=4),
        "optimizer": OptimizerOptions(rate=3e-3, warmup=2, schedule="constant", clip_norm=5000),
    },
    "simple_baseline": {
        "network": NetworkOptions(backbone="mobilenet_v1", width=0.5, channels=8),
        "augmentation": Augmentation(scale=(0.7, 1.3), rotation=30, flip=0.5, colour=0.1),
    },
}
CROPS = {"personlab": (65, 81), "simple_pose": (64, 80), "simple_baseline": (96, 64)}


def config_of(source, output, name, *, method="personlab", workers=0, **more):
    where = {
        "annotations": str(source / "files" / "person_keypoints.json"), "images": str(source / "files" / "images")
    } if name == "files" else {"shards": str(source / name)}  # fmt: skip
    data = DataOptions(**where, crop=CROPS[method], workers=workers, held_out=str(source / "ids.txt"))
    settings = {"steps": STEPS, "data": data, "evaluation": EvaluationOptions(long_edge=129), **METHODS[method], **more}
    return tiny(output, method=method, **settings)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """A run of PersonLab on the files."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(config_of(source, folder, "files"))


def equal_files(one, other):
    return all(same(tensors(one, name), tensors(other, name)) for name in ("weights", "weights-raw", "checkpoint"))


@pytest.mark.parametrize(("name", "workers"), [("tar", 0), ("parquet", 2)])
def test_shards_train_as_files_do(source, whole, tmp_path, name, workers):
    summary = train(config_of(source, tmp_path / "run", name, workers=workers))
    assert equal_files(whole[0], tmp_path / "run")
    for figure in ("keypoint_ap", "mask_ap"):
        assert summary.figures[figure] == whole[1].figures[figure]


@pytest.mark.parametrize(("method", "shards"), [("simple_pose", "tar"), ("simple_baseline", "parquet")])
def test_other_methods_train_from_shards(source, tmp_path, method, shards):
    for name in ("files", shards):
        train(config_of(source, tmp_path / name, name, method=method, steps=2))
    assert equal_files(tmp_path / "files", tmp_path / shards)


def test_a_run_on_shards_that_stops_goes_on_as_one(source, whole, tmp_path, monkeypatch):
    add, calls = loop.Meter.add, []

    def stop_in_the_third(meter, *step):
        add(meter, *step)
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)

    config = config_of(source, tmp_path / "run", "tar", workers=2, checkpoint_every=100)
    with monkeypatch.context() as patched:
        patched.setattr(loop.Meter, "add", stop_in_the_third)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    assert train(config, resume=True).step == STEPS
    assert equal_files(whole[0], tmp_path / "run")


def test_an_image_that_is_damaged_ends_the_run_with_its_name(source, tmp_path):
    import shutil

    folder = shutil.copytree(source / "tar", tmp_path / "tar")
    for path in find_shards(folder):
        content = bytearray(path.read_bytes())
        content[2000] ^= 255  # of the first image
        path.write_bytes(content)
    config = replace(config_of(source, tmp_path / "run", "tar"), batch_size=8)
    config = replace(config, data=replace(config.data, shards=str(folder), workers=1))
    expected = r"^.*-of-00003\.tar: 0000000000\d\d\.png: expected the bytes that were written, got damaged ones$"
    with pytest.raises(ValueError, match=expected):
        train(config)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"shards": "a", "annotations": "b", "images": "c"}, "either shards or annotations, images and instances"),
        ({"shards": "a", "instances": "b"}, "either shards or annotations, images and instances, got both"),
        ({"instances": "b"}, "data: expected annotations beside instances"),
    ],
)
def test_shards_stand_alone(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        tiny(tmp_path, data=DataOptions(**data))
