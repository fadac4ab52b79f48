"""The command line as a user meets it: what it prints and writes, how it fails, and how it ends."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import personlab.io.imaging
from personlab import DecodeOptions, Fields, MaskOptions, decode_masks, decode_poses, encode_targets, visualize
from personlab.cli import COMMANDS, main
from personlab.commands.flags import UsageError, apply_flags
from personlab.data.synthetic import make_scene
from personlab.io.console import log, write_table

for module in ("cv2", "jsonargparse", "pycocotools"):
    pytest.importorskip(module)

IMAGE = (320, 400)  # (h, w), not the size of the network input


@pytest.fixture(scope="module")
def scene():
    return make_scene(1, size=(161, 201), people=2)


@pytest.fixture(scope="module")
def scene_fields(scene):
    targets = encode_targets(scene.keypoints, scene.masks, size=(161, 201), stride=8)
    fields = targets.to_fields()
    return dataclasses.replace(fields, image_size=IMAGE[::-1])


@pytest.fixture
def folder(tmp_path, monkeypatch, scene_fields):
    """A working folder with fields.npz and the image scene_000042.png."""
    monkeypatch.chdir(tmp_path)
    scene_fields.save("fields.npz")
    visualize.write_image("scene_000042.png", np.full((*IMAGE, 3), 90, np.uint8))
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run a command line; gives the exit code, stdout and stderr."""

    def call(*argv):
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def expect_error(result, code, text):
    assert result[0] == code
    assert result[1] == ""
    assert re.fullmatch(r"personlab: error: [^\n]+\n", result[2])
    assert text in result[2]


def read_json(name):
    return json.loads(Path(name).read_text())


def rows_of(out):
    return [line.split() for line in out.splitlines() if re.match(r" *\d+  ", line)]


def test_info_prints_every_fact(run):
    code, out, err = run("info")
    assert (code, err) == (0, "")
    for name, value in personlab.build_info().items():
        assert re.search(rf"^{re.escape(name)} +{re.escape(value)}$", out, re.MULTILINE)


def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"personlab {personlab.__version__}\n")
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in COMMANDS)
    for name in COMMANDS:
        code, out, err = run(name, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: personlab {name}")
        assert "%(" not in out


@pytest.mark.parametrize("flag", ["--print_config", "--print-config", "--print_config=skip_default"])
def test_the_settings_of_training_are_printed_and_can_be_read_again(run, flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("train", "--config", "simple-baseline-drawn", "--batch_size", "7", flag)
    assert code == 0
    Path("again.yaml").write_text(out)
    assert run("train", "--config", "again.yaml", "--print_config")[1].count("batch_size: 7\n") == 1


def test_help_tells_every_option_with_its_meaning_and_default(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    out = " ".join(run("decode", "--help")[1].split())
    for prefix, options in (("decode", DecodeOptions()), ("mask", MaskOptions())):
        for field in dataclasses.fields(options):
            if field.name == "decoder":
                continue
            value = getattr(options, field.name)
            shown = re.escape(str(value).lower() if isinstance(value, bool) else str(value))
            assert re.search(rf"--{prefix}\.{field.name} [^\[]{{20,}}\[{shown}\]", out), field.name


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "expected a command: demo,"),
        (["nope"], "'nope'"),
        (["decode"], "required: FIELDS (see personlab decode --help)"),
        (["predict"], "required: INPUT (see personlab predict --help)"),
        (["convert"], "required: SRC, DST (see personlab convert --help)"),
        (["scenes"], "required: --output (see personlab scenes --help)"),
        (["decode", "a.npz", "b.npz"], "b.npz"),
        (["decode", "a.npz", "--mask"], "--mask"),
        (["decode", "a.npz", "--decode.hough_stride", "wide"], "--decode.hough_stride: expected int, got wide"),
        (["decode", "a.npz", "--decode.hough_stride", "0"], "hough_stride: expected an integer from 1 to 1024, got 0"),
        (["decode", "a.npz", "--masks", "--mask.mask_threshold", "2"], "mask_threshold"),
        (["decode", "a.npz", "--mask.threads", "2"], "--mask.threads: has no effect without --masks"),
        (["decode", "a.npz", "--mask.exclusive=false", "--json", "b.json"], "--mask.exclusive: has no effect without"),
        (["decode", "a.npz", "--image-id", "-1"], "--image-id: expected an integer >=0, got -1"),
        (["decode", "a.npz", "--json", "a.npz"], "--json: a.npz is the file of FIELDS, too"),
        (["decode", "a.npz", "--image", "p.png", "--output", "./p.png"], "the file of --image"),
        (["decode", "a.npz", "--json", "b.json", "--output", "b.json"], "the file of --output"),
        (["decode", "a.npz", "--json", ""], "argument --json: expected a value, got an empty word"),
        (["decode", "a.npz", "--output="], "argument --output: expected a value, got an empty word"),
        (["decode", ""], "error: expected a value, got an empty word"),
        (["decode", "a.npz", "--decode.scoring", "x"], "scoring: expected one of expected_oks, heatmap, got x"),
        (["decode", "a.npz", "--min-keypoint", "2"], "--min-keypoint: expected a number from 0 to 1, got 2 (see"),
        (["decode", "a.npz", "--min-keypoint", "nan"], "--min-keypoint: expected a number from 0 to 1, got nan (see"),
        (["decode", "a.npz", "--min-keypoint", "x"], "--min-keypoint: expected a number, got x (see"),
        (["decode", "a.npz", "--image-id", "x"], "--image-id: expected an integer, got x (see"),
        (["decode", "a.npz", "--image-id", str(2**63)], f"--image-id: expected an integer of at most {2**63 - 1}"),
        (["demo", "--people", "-1"], "--people: expected an integer >=0, got -1"),
        (["demo", "--threads", "0"], "--threads: expected an integer >0, got 0"),
        (["info", "one", "more"], "more"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, folder, argv, text):
    before = sorted(folder.iterdir())
    expect_error(run(*argv), 2, text)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["none.npz"], "none.npz: No such file or directory"),
        (["."], "Is a directory"),
        (["text.npz"], "text.npz: expected an .npz file"),
        (["bare.npz", "--masks"], "bare.npz: expected segmentation and long_offsets"),
        (["batch.npz"], "batch.npz: expected the fields of one image, got a batch of 2"),
        (["part.npz"], "part.npz: heatmaps: expected shape (K, h, w) or (N, K, h, w) with K = 17, got (16, 21, 26)"),
        (["far.npz"], "far.npz: hough_stride: expected at most"),
        (["fields.npz", "--image", "none.png"], "none.png: No such file or directory"),
        (["fields.npz", "--image", "text.npz"], "text.npz: expected an image"),
        (["fields.npz", "--image", "small.png"], "got (3, 2)"),
        (["fields.npz", "--output", "none/out.png"], "none/out.png: no such folder"),
        (["fields.npz", "--output", "out.xyz"], "out.xyz: expected a name that ends in"),
        (["fields.npz", "--json", "none/out.json"], "none/out.json: no such folder"),
        (["fields.npz", "--json", "."], "."),
    ],
)
def test_bad_files_are_one_line_and_exit_code_1(run, folder, scene_fields, argv, text):
    (folder / "text.npz").write_text("not fields")
    visualize.write_image("small.png", np.zeros((2, 3, 3), np.uint8))
    dataclasses.replace(scene_fields, segmentation=None).save("bare.npz")
    names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
    Fields(**{name: np.stack([getattr(scene_fields, name)] * 2) for name in names}, stride=8).save("batch.npz")
    part = {name: getattr(scene_fields, name)[:16] for name in ("heatmaps", "short_offsets")}
    Fields(**part, mid_offsets=scene_fields.mid_offsets, stride=8).save("part.npz")
    dataclasses.replace(scene_fields, stride=4096).save("far.npz")
    before = sorted(folder.iterdir())
    expect_error(run("decode", *argv), 1, text)
    assert sorted(folder.iterdir()) == before


def expected_poses(fields, **options):
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=8, options=DecodeOptions(**options)
    )
    return poses, poses.scaled(*fields.image_scale)


def test_decode_prints_a_row_for_each_person(run, folder, scene_fields):
    code, out, err = run("decode", "fields.npz")
    assert (code, err) == (0, "")
    _, poses = expected_poses(scene_fields)
    rows = rows_of(out)
    assert len(rows) == len(poses) == 2
    for j, row in enumerate(rows):
        assert row[0] == str(j + 1)
        assert float(row[1]) == pytest.approx(poses.scores[j], abs=1e-3)
        assert np.allclose([float(side) for side in row[2:6]], poses.boxes[j], atol=0.06)
        assert int(row[6]) == (poses.keypoint_probabilities[j] >= 0.5).sum()
    assert "400 x 320 pixels" in out
    assert re.search(r"^decode_poses +\d", out, re.MULTILINE)
    assert sorted(path.name for path in folder.iterdir()) == ["fields.npz", "scene_000042.png"]


@pytest.mark.usefixtures("folder")
def test_decode_draws_on_the_image_and_on_a_canvas(run, scene_fields):
    assert run("decode", "fields.npz", "--masks", "--image", "scene_000042.png", "--output", "out.png")[0] == 0
    found, poses = expected_poses(scene_fields)
    masks = decode_masks(
        found, scene_fields.segmentation, scene_fields.long_offsets, short_offsets=scene_fields.short_offsets,
        stride=8, size=IMAGE,
    )  # fmt: skip
    image = visualize.read_image("scene_000042.png")
    assert np.array_equal(visualize.read_image("out.png"), visualize.overlay(image, poses, masks))
    assert run("decode", "fields.npz", "--output", "out.png")[0] == 0
    expected = visualize.overlay(visualize.canvas(scene_fields), poses)
    assert np.array_equal(visualize.read_image("out.png"), expected)


@pytest.mark.usefixtures("folder")
def test_decode_flags_reach_the_options(run, scene_fields):
    argv = ["--decode.hough_stride", "4", "--decode.scoring", "heatmap", "--decode.max_poses=1", "--json", "out.json"]
    assert run("decode", "fields.npz", *argv)[0] == 0
    _, poses = expected_poses(scene_fields, hough_stride=4, scoring="heatmap", max_poses=1)
    assert read_json("out.json") == poses.to_coco(0)


@pytest.mark.usefixtures("folder")
def test_posenet_takes_its_own_defaults_and_the_flags_given(run, scene_fields):
    for argv, changes in (([], {}), (["--decode.min_score", "0.1", "--decode.refine_steps", "2"],
                                     {"min_score": 0.1, "refine_steps": 2})):  # fmt: skip
        assert run("decode", "fields.npz", "--posenet", "--json", "out.json", *argv)[0] == 0
        options = dataclasses.replace(DecodeOptions.posenet(), **changes)
        arrays = (scene_fields.heatmaps, scene_fields.short_offsets, scene_fields.mid_offsets)
        poses = decode_poses(*arrays, stride=8, options=options).scaled(*scene_fields.image_scale)
        assert read_json("out.json") == poses.to_coco(0)


@pytest.mark.usefixtures("folder")
def test_mask_flags_reach_the_options(run):
    _, all_pixels, _ = run("decode", "fields.npz", "--masks")
    _, none, _ = run("decode", "fields.npz", "--masks", "--mask.mask_threshold", "1", "--mask.exclusive", "true")
    assert min(int(row[7]) for row in rows_of(all_pixels)) > 100
    assert max(int(row[7]) for row in rows_of(none)) == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argv", "image_id"),
    [([], 0), (["--image", "scene_000042.png"], 42), (["--image", "scene_000042.png", "--image-id", "7"], 7)],
)
def test_results_carry_the_image_id(run, argv, image_id):
    assert run("decode", "fields.npz", "--masks", "--json", "out.json", *argv)[0] == 0
    for name in ("out.json", "out.masks.json"):
        assert {result["image_id"] for result in read_json(name)} == {image_id}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own, with NumPy 2
@pytest.mark.usefixtures("folder")
def test_results_load_into_pycocotools_and_masks_come_back(run, scene_fields):
    from pycocotools.coco import COCO

    assert run("decode", "fields.npz", "--masks", "--json", "out.json", "--image-id", "3")[0] == 0
    annotations = COCO()
    annotations.dataset = {
        "images": [{"id": 3, "height": 320, "width": 400}],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}],
    }
    annotations.createIndex()
    found, poses = expected_poses(scene_fields)
    keypoints = annotations.loadRes("out.json").dataset["annotations"]
    assert np.allclose([result["keypoints"][:2] for result in keypoints], poses.keypoints[:, 0], atol=1e-3)
    results = annotations.loadRes("out.masks.json")
    expected, scores = decode_masks(
        found, scene_fields.segmentation, scene_fields.long_offsets, short_offsets=scene_fields.short_offsets,
        stride=8, size=IMAGE, return_scores=True,
    )  # fmt: skip
    masks = [results.annToMask(result) for result in results.dataset["annotations"]]
    assert np.array_equal(np.array(masks, np.bool_), expected)
    assert [result["score"] for result in results.dataset["annotations"]] == scores.tolist()


@pytest.mark.usefixtures("folder")
def test_nobody_found_is_an_answer(run):
    argv = ["--decode.min_score", "1", "--masks", "--json", "out.json", "--output", "out.png"]
    code, out, _ = run("decode", "fields.npz", *argv)
    assert code == 0
    assert out.startswith("0 people")
    for name in ("out.json", "out.masks.json"):
        assert read_json(name) == []


@pytest.mark.usefixtures("folder")
def test_a_batch_of_one_is_decoded(run, scene_fields):
    names = ("heatmaps", "short_offsets", "mid_offsets")
    Fields(**{name: getattr(scene_fields, name)[None] for name in names}, stride=8).save("one.npz")
    code, out, _ = run("decode", "one.npz")
    assert code == 0
    assert len(rows_of(out)) == 2
    assert "201 x 161 pixels" in out


def test_real_fields_are_decoded_to_the_people_in_the_image(run, data, tmp_path):
    name = "office_group"
    code, out, _ = run(
        "decode", data / "fields" / f"{name}_801_s8.npz", "--image", data / "images" / f"{name}.jpg",
        "--masks", "--output", tmp_path / "out.png",
    )  # fmt: skip
    assert code == 0
    assert len(rows_of(out)) == 5
    assert min(int(row[7]) for row in rows_of(out)) > 50_000
    assert visualize.read_image(tmp_path / "out.png").shape == (1080, 1440, 3)


def test_an_interrupt_ends_with_130(run, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("personlab.commands.info.run", interrupted)
    assert run("info") == (130, "", "personlab: error: interrupted\n")


def test_an_interrupt_that_an_import_turns_into_another_error_ends_with_130(run, monkeypatch):
    """As modules of pybind11 do whose import Ctrl-C meets."""

    def interrupted(_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("personlab.commands.info.run", interrupted)
    assert run("info") == (130, "", "personlab: error: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("folder")
def test_a_missing_extra_is_named_with_the_way_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    expect_error(run("info"), 1, "needs jsonargparse ")
    assert re.search(r"pip install '[^']+\[full\]'$", run("info")[2].strip())


@pytest.mark.usefixtures("folder", "imaging")
def test_without_opencv_and_pillow_drawings_need_the_first(run, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    monkeypatch.delenv("PERSONLAB_IMAGE_READER")
    monkeypatch.setattr(personlab.io.imaging, "LIBRARIES", {"opencv": missing, "pillow": missing})
    expect_error(run("decode", "fields.npz", "--output", "out.png"), 1, "needs cv2 ")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "out of memory"),
        (MemoryError("Unable to allocate 9 GiB"), "out of memory: Unable to allocate 9 GiB"),
        (RecursionError("maximum recursion depth exceeded"), "input nested too deeply (recursion limit reached)"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(28, "No space left on device", "a.json"), "a.json: No space left on device"),
    ],
)
def test_the_last_net_is_one_line(run, monkeypatch, error, text):
    def fail(_):
        raise error

    monkeypatch.setattr("personlab.commands.info.run", fail)
    assert run("info") == (1, "", f"personlab: error: {text}\n")


@pytest.mark.usefixtures("folder")
def test_decode_writes_json_to_stdout_and_tables_to_stderr(run):
    assert run("decode", "fields.npz", "--masks", "--json", "r.json")[0] == 0
    code, out, err = run("decode", "fields.npz", "--json", "-")
    assert code == 0
    assert json.loads(out) == read_json("r.json")
    assert err.startswith("2 people in 400 x 320 pixels")
    code, out, _ = run("decode", "fields.npz", "--masks", "--json", "-")
    assert json.loads(out) == {"keypoints": read_json("r.json"), "masks": read_json("r.masks.json")}


@pytest.mark.usefixtures("folder")
def test_decode_gives_a_image_of_twenty_digits_a_number(run):
    visualize.write_image("20231125173904123456.png", np.full((*IMAGE, 3), 90, np.uint8))
    code, _, err = run("decode", "fields.npz", "--image", "20231125173904123456.png", "--json", "r.json")
    assert code == 0, err
    assert {result["image_id"] for result in read_json("r.json")} == {0}


@pytest.mark.usefixtures("folder")
def test_decode_draws_no_keypoint_under_the_least_probability(run):
    drawn = {}
    for least in ("0", "1"):
        assert run("decode", "fields.npz", "--image", "scene_000042.png", "--output", "o.png",
                   "--min-keypoint", least)[0] == 0  # fmt: skip
        drawn[least] = visualize.read_image("o.png")
    assert np.array_equal(drawn["1"], visualize.read_image("scene_000042.png"))
    assert not np.array_equal(drawn["0"], drawn["1"])


def test_an_import_error_that_is_a_bug_is_not_hidden(monkeypatch):
    def broken(_):
        raise ImportError("cannot import name", name="personlab.nothing")

    monkeypatch.setattr("personlab.commands.info.run", broken)
    with pytest.raises(ImportError, match="cannot import name"):
        main(["info"])


def test_tables_align_numbers_right_and_names_left(capsys):
    write_table(["name", "number"], [["a", "1.5"], ["long name", "-12.25"]])
    assert capsys.readouterr().out == "name       number\na             1.5\nlong name  -12.25\n"


def test_what_a_terminal_would_act_on_is_escaped(capsys):
    write_table(["input", "n"], [["a\nb\x1b[31m.jpg", "1"], ["é.jpg", "2"]])
    log("skipped a\nb\udcff.jpg")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["input             n", r"a\nb\x1b[31m.jpg  1", "é.jpg             2"]
    assert err == "personlab: skipped a\\nb\\udcff.jpg\n"


def test_flags_that_were_not_given_keep_the_options():
    class Given:
        def __init__(self, **values):
            vars(self).update(values)

    options = MaskOptions(mask_threshold=0.7)
    assert apply_flags(options, Given(mask_threshold=None, threads=3)) == MaskOptions(mask_threshold=0.7, threads=3)
    with pytest.raises(UsageError, match="threads"):
        apply_flags(options, Given(threads=-1))
