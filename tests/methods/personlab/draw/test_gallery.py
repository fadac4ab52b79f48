"""The gallery has an image of everything the fields have, as arrays, on a sheet and in files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scenes import SKELETONS, decode_options, pose_fields, random_fields

from personlab import COCO_PERSON, DecodeOptions, Fields, decode_poses
from personlab import visualize as show
from personlab.cli import main
from personlab.data.synthetic import make_scene
from personlab.methods.personlab.targets import encode_targets

pytest.importorskip("cv2")

SIZE = (121, 161)
HEATMAPS = {f"heatmap_{name}" for name in COCO_PERSON.names}
ALWAYS = HEATMAPS | {
    "heatmaps", "short_offsets", "short_offsets_wheel", "mid_offsets", "mid_offsets_wheel", "order", "poses",
}  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return make_scene(4, size=SIZE, people=1)


@pytest.fixture(scope="module")
def fields(scene):
    fields = encode_targets(scene.keypoints, scene.masks, size=SIZE, stride=8).to_fields(logit=5.0)
    for name in ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets"):
        getattr(fields, name).flags.writeable = False
    return fields


def test_the_gallery_has_every_picture(fields, scene):
    image = scene.image.copy()
    image.flags.writeable = False
    gallery = show.fields_gallery(fields, image)
    more = {"hough", "segmentation", "long_offsets", "long_offsets_arrows", "masks", "explanation_1"}
    assert set(gallery) == ALWAYS | more
    for name, picture in gallery.items():
        assert picture.dtype == np.uint8
        assert picture.shape == image.shape or name == "explanation_1"
    assert np.array_equal(image, scene.image)
    poses = decode_poses(*pose_fields(fields), stride=8)
    assert np.array_equal(gallery["poses"], show.draw_poses(image, poses))
    assert np.array_equal(gallery["segmentation"], show.draw_segmentation(image, fields.segmentation))


def test_fields_without_masks_have_fewer_pictures(fields):
    bare = dataclasses.replace(fields, segmentation=None, long_offsets=None)
    assert set(show.fields_gallery(bare)) == ALWAYS | {"hough", "explanation_1"}
    assert "masks" not in show.fields_gallery(dataclasses.replace(fields, long_offsets=None), explanations=0)


def test_posenets_decoder_has_no_hough_map(fields):
    gallery = show.fields_gallery(fields, options=DecodeOptions.posenet(), explanations=0)
    assert "hough" not in gallery
    assert "explanation_1" not in gallery
    assert "order" in gallery


def test_without_a_picture_the_gallery_is_on_the_canvas(fields):
    gallery = show.fields_gallery(dataclasses.replace(fields, image_size=(80, 60)))
    assert gallery["hough"].shape == (60, 80, 3)


def test_poses_and_masks_are_drawn_as_they_are_given(fields, scene):
    poses = decode_poses(*pose_fields(fields), stride=8)[:0]
    gallery = show.fields_gallery(fields, scene.image, poses, scene.masks)
    assert np.array_equal(gallery["poses"], scene.image)
    assert np.array_equal(gallery["masks"], show.draw_masks(scene.image, scene.masks))
    assert "masks" not in show.fields_gallery(fields, scene.image, poses)


def test_large_pictures_are_drawn_on_smaller(fields):
    image = np.zeros((600, 800, 3), np.uint8)
    gallery = show.fields_gallery(fields, image, longest_side=200)
    assert gallery["poses"].shape == gallery["masks"].shape == gallery["hough"].shape == (150, 200, 3)
    assert gallery["masks"].any()


@pytest.mark.parametrize("name", SKELETONS)
def test_a_gallery_of_any_skeleton(name):
    people = SKELETONS[name]
    gallery = show.fields_gallery(
        random_fields(0, people, 5, 7, 8), options=decode_options(max_poses=2), skeleton=people
    )
    assert {f"heatmap_{name}" for name in people.names} <= set(gallery)


def test_a_gallery_of_nothing():
    nobody = {"heatmaps": (17,), "short_offsets": (17, 2), "mid_offsets": (32, 2), "segmentation": (1,)}
    for grid in ((0, 4), (4, 0), (1, 1), (2, 3)):
        fields = Fields(**{name: np.full((*shape, *grid), -9, np.float32) for name, shape in nobody.items()}, stride=8)
        gallery = show.fields_gallery(fields)
        assert set(gallery) == ALWAYS | {"hough", "segmentation"}
        width, height = fields.input_size
        assert {picture.shape for picture in gallery.values()} == {(height, width, 3)}
        assert show.contact_sheet(gallery).shape[1] == 1600


def test_a_batch_is_refused(fields):
    names = ("heatmaps", "short_offsets", "mid_offsets")
    with pytest.raises(ValueError, match=r"fields\.heatmaps"):
        show.fields_gallery(Fields(**{name: getattr(fields, name)[None] for name in names}, stride=8))


def test_the_sheet_lays_pictures_out_in_rows():
    red, blue = np.zeros((40, 60, 3), np.uint8), np.zeros((90, 60, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = show.contact_sheet({"red": red, "blue": blue, "again": red}, columns=2, width=400)
    assert sheet.shape[1] == 400
    is_red, is_blue = ((sheet == colour).all(axis=2) for colour in ((255, 0, 0), (0, 0, 255)))
    assert is_red[:, :200].any()
    assert not is_red[:, 200:].any()
    assert is_blue[:, 200:].any()
    rows = np.flatnonzero(is_red.any(axis=1))
    assert (np.diff(rows) > 1).sum() == 1  # two rows of pictures
    assert (sheet > 200).all(axis=2).any()  # titles
    assert not red[..., 1:].any()


def test_sheets_at_their_limits():
    assert show.contact_sheet({}).shape == (0, 1600, 3)
    tiny = {str(i): np.zeros((i, 5, 3), np.uint8) for i in range(3)}
    assert show.contact_sheet({**tiny, "a long name " * 9: np.zeros((1, 999, 3), np.uint8)}, width=70).shape[1] == 70
    with pytest.raises(ValueError, match="columns"):
        show.contact_sheet({}, columns=0)
    with pytest.raises(ValueError, match="width"):
        show.contact_sheet({}, columns=9, width=100)
    with pytest.raises(TypeError, match="image"):
        show.contact_sheet({"a": np.zeros((4, 4, 3))})


def test_the_gallery_is_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    folder = tmp_path / "new" / "folder"
    written = show.write_gallery(folder, {"a": image, "b": image[:4]})
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "contact_sheet.png"]
    assert sorted(written) == sorted(folder.iterdir())
    assert np.array_equal(show.read_image(folder / "b.png"), image[:4])


def test_decode_writes_the_gallery(fields, scene, tmp_path, capsys):
    pytest.importorskip("jsonargparse")
    fields.save(tmp_path / "fields.npz")
    show.write_image(tmp_path / "scene.png", scene.image)
    argv = ["decode", str(tmp_path / "fields.npz"), "--image", str(tmp_path / "scene.png"), "--masks"]
    assert main([*argv, "--fields", str(tmp_path / "out")]) == 0
    gallery = show.fields_gallery(fields, scene.image)
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {*gallery, "contact_sheet"}
    for name in ("poses", "masks", "hough", "explanation_1"):
        assert np.array_equal(show.read_image(tmp_path / "out" / f"{name}.png"), gallery[name])
    assert capsys.readouterr().err == f"personlab: wrote {len(gallery) + 1} images into {tmp_path / 'out'}\n"
    assert main([*argv[:-1], "--fields", str(tmp_path / "plain"), "--posenet"]) == 0
    names = {path.stem for path in (tmp_path / "plain").iterdir()}
    assert not {"masks", "hough"} & names
    assert main([*argv, "--fields", str(tmp_path / "scene.png")]) == 1
    assert "scene.png" in capsys.readouterr().err


def test_the_demo_writes_the_gallery(tmp_path, monkeypatch, capsys):
    pytest.importorskip("jsonargparse")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--fields", "out"]) == 0
    assert capsys.readouterr().err.endswith(" images into out\n")
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert names >= ALWAYS | {"masks", "explanation_3", "contact_sheet"}
