"""The command on Ray: started once for this module, with two processors and a small object store."""

from __future__ import annotations

import json

import numpy as np
import pytest
from batch_runs import write_scenes, write_tar, write_walk

from personlab import Predictor
from personlab.batch import BatchOptions, OptionsError, annotate, read_errors, read_manifest, read_people, run_batch
from personlab.batch.job import Job
from personlab.batch.storage import Store
from personlab.cli import main

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*"),  # Ray's own
    pytest.mark.unsanitized,  # Ray starts processes of many threads
]
FLAGS = ["--weights", "drawn-mobilenet-050", "--long-edge", "161", "--engine", "onnxruntime", "--precision", "float32"]


@pytest.fixture(scope="module")
def cluster():
    """The address of a small cluster, which jobs of this module share."""
    from personlab.batch.pool import import_ray

    import_ray()
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
    for left in (2, 1, 0):  # a machine with much else to do may miss the moment that Ray waits for
        try:
            one = Cluster(initialize_head=True, head_node_args=node)
            break
        except Exception:
            if not left:
                raise
    yield one.address
    one.shutdown()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with all kinds of inputs, some of them bad."""
    folder = write_scenes(tmp_path_factory.mktemp("inputs"), 6)
    write_walk(folder / "v.mp4")
    write_tar(folder / "t.tar", [(file.name, file.read_bytes()) for file in sorted(folder.glob("*.png"))])
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


def rows(output):
    return [read(output).to_pylist() for read in (read_people, read_manifest, read_errors)]


def test_the_command_equals_predict(cluster, inputs, tmp_path, capsys):
    more = ["--address", cluster, "--cores", "1", "--actors", "2", "--part", "4", "--piece", "6", "--masks"]
    assert main(["batch", str(inputs), "--output", str(tmp_path / "o"), *FLAGS, *more]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("37 images and frames, ")
    assert ", 1 errors in " in out
    assert err.splitlines()[-1].startswith("personlab: warning: 1 inputs failed or are damaged")
    assert main(["predict", str(inputs), "--jsonl", str(tmp_path / "p.jsonl"), *FLAGS, "--masks"]) == 1
    assert main(["batch", str(inputs), "--output", str(tmp_path / "o"), *FLAGS, *more, "--flip"]) == 2
    assert "comes from a job with another --flip (False, now True): give the same" in capsys.readouterr().err
    people, manifest, errors = rows(tmp_path / "o")
    assert [row["file"] for row in errors] == [str(inputs / "bad.jpg")]
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    expected = {
        (line["file"], line["frame"], number): person for line in lines for number, person in enumerate(line["people"])
    }
    own = {(row["file"], row["frame"], row["person"]): row for row in people if "t.tar" not in row["file"]}
    assert set(own) == set(expected)
    for key, person in expected.items():
        row = own[key]
        assert [round(value, 4) for value in row["keypoints"]] == person["keypoints"]
        assert [round(value, 4) for value in row["box"]] == person["box"]
        assert (row["score"], row["mask"], row["mask_score"]) == (person["score"], person["mask"], person["mask_score"])
    times = {(line["file"], line["frame"]): line["time"] for line in lines if line["frame"] is not None}
    done = {(row["file"], row["frame"]): round(row["time"], 6) for row in manifest if row["frame"] is not None}
    assert done == times


def test_one_worker_divides_what_it_reads(cluster, inputs, tmp_path):
    images = sorted(inputs.glob("*.png"))
    options = BatchOptions(address=cluster, cores=1, actors=1, part=4)
    more = {"weights": "drawn-mobilenet-050", "long_edge": 161, "engine": "onnxruntime", "precision": "float32"}
    sources = [*images[:2], inputs / "t.tar"]
    summary = annotate(sources, tmp_path / "o", options=options, **more)
    predictor = Predictor(**more)
    expected = [pose.scores[0] for image in [*images[:2], *images] for pose in predictor(str(image)).poses]
    assert [np.float32(row["score"]) for row in rows(tmp_path / "o")[0]] == expected
    assert (summary.inputs, summary.failed, summary.people, summary.errors) == (8, 0, len(expected), 0)
    assert len(list((tmp_path / "o" / "_manifest").iterdir())) == 3  # the tar is two units
    again = annotate(sources, tmp_path / "o", options=options, **more)
    assert (again.inputs, again.skipped) == (0, 2)


def test_without_an_address_ray_runs_for_the_length_of_the_job(cluster, inputs, tmp_path):
    import psutil  # Ray, which the cluster has imported, brings it along

    before = set(psutil.Process().children(recursive=True))
    more = {"weights": "drawn-mobilenet-050", "long_edge": 161, "engine": "onnxruntime", "precision": "float32"}
    summary = annotate(inputs / "000001.png", tmp_path / "o", options=BatchOptions(cores=1, actors=1), **more)
    assert (summary.inputs, summary.failed) == (1, 0)
    left = set(psutil.Process().children(recursive=True)) - before
    assert psutil.wait_procs(left, timeout=30)[1] == []
    assert cluster


def test_a_ray_of_its_own_has_no_process_without_a_use(cluster):
    import psutil
    from ray._private.node import Node

    from personlab.batch.pool import Pool

    steps = dict(vars(Node))
    before = set(psutil.Process().children(recursive=True))
    with Pool(BatchOptions(cores=1, actors=1), uses_gpus=False) as pool:
        own = set(psutil.Process().children(recursive=True)) - before
        words = [word for process in own for word in process.cmdline()]
        assert pool.layout.actors == 1
    assert any(word.endswith("raylet") for word in words)
    for script in ("monitor.py", "log_monitor.py", "dashboard.py"):
        assert not any(word.endswith(f"/{script}") for word in words)
    assert dict(vars(Node)) == steps
    assert cluster


def test_what_is_wrong_with_the_network_is_said_before_anything_is_written(cluster, inputs, tmp_path):
    def check():
        raise ValueError("no such network")

    with pytest.raises(ValueError, match="no such network"):
        run_batch(
            [str(inputs)], str(tmp_path / "o"), make_predictor=Predictor, identity={}, check=check,
            options=BatchOptions(address=cluster),
        )  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_other_options_are_refused_before_ray_starts(inputs, tmp_path, monkeypatch):
    def started(*_, **__):
        pytest.fail("Ray starts")

    monkeypatch.setattr("personlab.batch.run.Pool", started)
    Job(Store(str(tmp_path / "o")), {"--flip": False}).close()
    with pytest.raises(OptionsError, match=r"another --flip \(False, now True\)"):
        run_batch([str(inputs)], str(tmp_path / "o"), make_predictor=Predictor, identity={"--flip": True})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder, or one of a job, got x in it"):
        run_batch([str(inputs)], str(tmp_path / "full"), make_predictor=Predictor, identity={})
    with pytest.raises(ValueError, match="x: expected a folder, got a file"):
        run_batch([str(inputs)], str(tmp_path / "full" / "x"), make_predictor=Predictor, identity={})


def test_a_cluster_that_is_not_there_is_one_line_at_once(inputs, tmp_path, capsys):
    argv = ["batch", str(inputs), "--output", str(tmp_path / "o"), *FLAGS, "--address"]
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:none"):
        assert main([*argv, address]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"personlab: error: expected a Ray cluster at {address}, got: ")
