"""Shards hold what the files hold, to the last bit; what is wrong with one is a line that names it."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from annotation_files import PERSON, good, write
from shard_files import PER_SHARD, shard, write_dataset

from personlab.data.images import CocoImages
from personlab.data.shards.images import ShardImages
from personlab.data.shards.shard_set import find_shards, read_shards
from personlab.io.images import StoredImage, read_image

for module in ("cv2", "pycocotools", "pyarrow", "tqdm"):
    pytest.importorskip(module)

FORMATS = ("tar", "parquet")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Annotations, the folder of images, and a folder of shards by format."""
    folder = tmp_path_factory.mktemp("set")
    annotations, images = write_dataset(folder / "files")
    for name in FORMATS:
        assert shard(annotations, images, folder / name, "--format", name, "--count", PER_SHARD) == 0
    return annotations, images, folder


@pytest.fixture(params=FORMATS)
def shards(request, files, tmp_path):
    """A copy of the shards, to be damaged."""
    return shutil.copytree(files[2] / request.param, tmp_path / "shards")


@pytest.fixture
def tars(files, tmp_path):
    return shutil.copytree(files[2] / "tar", tmp_path / "shards")


def same_people(a, b):
    return all(
        np.array_equal(one, other) if one is not None and other is not None else one is other
        for one, other in zip(a, b, strict=True)
    )


def same_images(a, b):
    assert len(a) == len(b) > 0
    assert (a.skeleton, a.image_ids, a.has_masks, a.domain, a.notes) == (
        b.skeleton, b.image_ids, b.has_masks, b.domain, b.notes
    )  # fmt: skip
    for number in range(len(a)):
        one, other = a.load(number), b.load(number)
        assert np.array_equal(one.image, other.image)
        assert same_people(one.people, other.people)
    return True


@pytest.mark.parametrize("name", FORMATS)
def test_shards_hold_what_the_files_hold(files, name):
    annotations, images, folder = files
    assert [path.name for path in find_shards(folder / name)] == [f"0000{n}-of-00003.{name}" for n in range(3)]
    same_images(CocoImages(annotations, images), ShardImages(folder / name))
    held_out = {"held_out": "0.2", "labelled_only": True, "empty_is_unknown": True}
    if len(CocoImages(annotations, images)) > 4:
        same_images(CocoImages(annotations, images, **held_out), ShardImages(folder / name, **held_out))
    _, stored = read_shards(folder / name)
    for number, path in zip(stored, sorted(images.iterdir()), strict=True):
        assert stored[number].read() == path.read_bytes()
        assert path.name.split(".")[0] in str(stored[number]) or name == "parquet"
    with pytest.raises(KeyError):
        stored[11]


def test_a_tar_is_what_webdataset_writes(files):
    with tarfile.open(files[2] / "tar" / "00002-of-00003.tar") as tar:
        assert tar.getnames() == [f"{number:012d}.{ending}" for number in (9, 10) for ending in ("png", "json")]
        image = tar.extractfile("000000000009.png").read()
        text = json.load(tar.extractfile("000000000009.json"))
    assert image == (files[1] / "000000000009.png").read_bytes()
    assert text["images"][0]["file_name"] == "000000000009.png"
    assert {entry["image_id"] for entry in text["annotations"]} == {9}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_bytes_each_time_and_no_folder_is_overwritten(files, tmp_path, capsys, name):
    annotations, images, folder = files
    assert shard(annotations, images, tmp_path / "again", "--format", name, "--count", PER_SHARD) == 0
    for path in find_shards(folder / name):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert shard(annotations, images, tmp_path / "again") == 1
    assert "expected a new or empty folder, got one with files in it" in capsys.readouterr().err
    assert "10 images, " in shard_output(annotations, images, tmp_path / "one", capsys)


def shard_output(annotations, images, folder, capsys):
    assert shard(annotations, images, folder, "--count", 100) == 0
    assert [path.name for path in folder.iterdir()] == ["00000-of-00001.tar"]
    return capsys.readouterr().out


def test_odd_annotations_read_back_the_same(tmp_path):
    """Ids that are missing or come twice, crowds, people without outline or keypoints, names with dots and folders."""
    content = good()
    extra = {"category_id": 1, "image_id": 3}
    content["annotations"] += [
        {**extra, "bbox": [1, 1, 5.25, 7.125], "iscrowd": 1, "segmentation": {"size": [40, 60], "counts": [2397, 3]}},
        {**extra, "id": 1, "bbox": [2, 2, 9, 9], "area": 0.1},
        {**extra, "id": None, "keypoints": [1.1, 2.2, 2, 0, 0, 0, 0, 0, 0]},
        {**extra, "id": None, "keypoints": [1.1, 2.2, 2, 0, 0, 0, 0, 0, 0], "note": "differs in this alone"},
    ]
    content["images"] += [{"id": -7, "file_name": "in/one.two.PNG", "height": 40, "width": 60}]
    content["categories"] = [{**PERSON, "flip_pairs": [[2, 3]], "sigmas": [0.1, 0.2, 0.2]}, {"id": 2, "name": "dog"}]
    content["annotations"] += [{"id": 9, "image_id": 3, "category_id": 2, "bbox": [1, 1, 2, 2]}]
    path, images = write(tmp_path, content)
    (images / "in").mkdir()
    shutil.copy(images / "a.png", images / "in" / "one.two.PNG")
    for name in FORMATS:
        assert shard(path, images, tmp_path / name, "--format", name) == 0
        assert same_images(CocoImages(path, images), ShardImages(tmp_path / name))


def test_masks_of_an_instances_file_are_written(tmp_path):
    content, whole = good(), good()
    content["annotations"] = [{**content["annotations"][0], "segmentation": []}]
    path, images = write(tmp_path, content)
    instances, _ = write(tmp_path, whole, name="instances.json")
    assert shard(path, images, tmp_path / "out", "--instances", instances) == 0
    assert ShardImages(tmp_path / "out").coverage.outlined == 2
    assert same_images(CocoImages(path, images, instances=instances), ShardImages(tmp_path / "out"))


def test_threads_processes_and_copies_read_at_once(files, shards):
    images = ShardImages(shards)
    expected = [images.stored[number].read() for number in images.image_ids]
    for source in (images, pickle.loads(pickle.dumps(images))):
        with ThreadPoolExecutor(8) as pool:
            jobs = [source.stored[source.image_ids[n % len(source)]] for n in range(200)]
            for n, content in enumerate(pool.map(lambda one: one.read(), jobs)):
                assert content == expected[n % len(source)]


def test_a_pattern_names_some_of_the_shards(files):
    folder = files[2] / "tar"
    assert ShardImages(folder / "0000[12]-of-*.tar").image_ids == [5, 6, 7, 8, 9, 10]
    assert ShardImages(folder / "00001-of-00003.tar").image_ids == [5, 6, 7, 8]


def member(name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info


def make_tar(path, members, kind="w"):
    with tarfile.open(path, kind) as tar:
        for name, content in members:
            tar.addfile(member(name, content), io.BytesIO(content))


def members_of(path):
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]


def changed(members, name, edit):
    return [(n, edit(content) if n == name else content) for n, content in members]


def edit_json(change):
    def edit(content):
        text = json.loads(content)
        change(text)
        return json.dumps(text).encode()

    return edit


FIRST = "000000000001"
TAR_FAULTS = {
    "no annotations": (lambda m: m[:1] + m[2:], rf"tar: {FIRST}\.png: expected {FIRST}\.json beside it, got none"),
    "no image": (lambda m: m[1:], rf"tar: {FIRST}\.json: expected an image beside it, got none"),
    "two images": (lambda m: [(f"{FIRST}.jpg", m[0][1]), *m], rf"tar: {FIRST}\.png: expected one image of the key"),
    "annotations twice": (lambda m: [m[1], *m], rf"tar: {FIRST}\.json: expected one member of this name, got two"),
    "no image format": (
        lambda m: changed(m, f"{FIRST}.png", lambda _: b"text"), rf"tar: {FIRST}\.png: expected an image, got another",
    ),
    "no JSON": (
        lambda m: changed(m, f"{FIRST}.json", lambda c: c[:-9]), rf"tar: {FIRST}\.json: expected .* COCO's .* no JSON"
    ),
    "nested": (
        lambda m: changed(m, f"{FIRST}.json", lambda _: b"[" * 100_000), rf"{FIRST}\.json: .* nested too deep"
    ),
    "list": (lambda m: changed(m, f"{FIRST}.json", lambda _: b"[]"), rf"tar: {FIRST}\.json: .* got a list of 0"),
    "two ids": (
        lambda m: changed(m, f"{FIRST}.json", edit_json(lambda t: t["images"].append({"id": 3}))),
        rf"{FIRST}\.json: expected annotations of one image, got 2 images",
    ),
    "another image's": (
        lambda m: changed(m, f"{FIRST}.json", edit_json(lambda t: t["annotations"][0].update(image_id=2))),
        rf"{FIRST}\.json: annotations\[0\]: image_id: expected 1, the image beside it, got 2",
    ),
    "id of another": (
        lambda m: changed(m, "000000000002.json", edit_json(relabel)),
        r"000000000002\.json: expected image 1 once, got it in .*00000-of-00003\.tar, too",
    ),
    "NaN": (
        lambda m: changed(m, f"{FIRST}.json", edit_json(lambda t: t["annotations"][0].update(area=float("nan")))),
        rf"{FIRST}\.json: annotation 1: area: expected a number of pixels",
    ),
    "another category": (
        lambda m: changed(m, f"{FIRST}.json", edit_json(lambda t: t["categories"][0].update(name="dog"))),
        r"categories\[1\]: id: expected a number that comes once, got 1 again",
    ),
    "no size": (
        lambda m: changed(m, f"{FIRST}.json", edit_json(lambda t: t["images"][0].pop("height"))),
        rf"{FIRST}\.json: image 1: height: expected an integer",
    ),
}  # fmt: skip


def relabel(text):
    text["images"][0]["id"] = 1
    for entry in text["annotations"]:
        entry["image_id"] = 1


@pytest.mark.parametrize("fault", TAR_FAULTS)
def test_faults_in_a_tar_are_named(tars, fault):
    change, message = TAR_FAULTS[fault]
    path = find_shards(tars)[0]
    make_tar(path, change(members_of(path)))
    with pytest.raises(ValueError, match=message):
        ShardImages(tars)


def test_a_tar_cut_anywhere_is_named(tars):
    """No cut is taken for the end; only the padding behind the end mark may be missing."""
    path = find_shards(tars)[1]
    content = path.read_bytes()
    end = len(content.rstrip(b"\0"))
    end += -end % 512 + 512
    for cut in [*range(0, end, 512), *range(100, end, 3001), end - 1]:
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=rf"{path.name}.*(cut short|got an empty file|got another file)"):
            ShardImages(path)
    path.write_bytes(content[:end])
    assert len(ShardImages(path)) == PER_SHARD


def test_damage_is_an_error_or_changes_nothing(shards):
    """Of each byte of a shard: it is named, or no pixel and no keypoint is another."""
    path = find_shards(shards)[2]
    content, expected = path.read_bytes(), ShardImages(path)
    loaded = [expected.load(number) for number in range(len(expected))]
    rng = np.random.default_rng(0)
    named = 0
    for at in rng.integers(0, len(content), 120).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        error, again = "", []
        try:
            images = ShardImages(path)
            again = [images.load(number) for number in range(len(images))]
        except ValueError as raised:
            error = str(raised)
        if error:
            assert str(path) in error
            assert "\n" not in error
            named += 1
        else:
            assert all(np.array_equal(a.image, b.image) for a, b in zip(loaded, again, strict=True))
    assert named > 100


def test_a_tar_that_is_compressed_or_followed_by_another_is_refused(tars):
    path = find_shards(tars)[0]
    content, members = path.read_bytes(), members_of(path)
    make_tar(path, members, "w:gz")
    with pytest.raises(ValueError, match=r"expected a tar without compression, got another file"):
        ShardImages(path)
    path.write_bytes(content + content)
    with pytest.raises(ValueError, match=r"the tar is damaged: expected zeros from its end"):
        ShardImages(path)
    make_tar(path, [])
    with pytest.raises(ValueError, match=r"expected a category 'person', got none"):
        ShardImages(path)


def test_members_of_other_kinds_are_left_out(files, tars):
    """Folders, hidden files, labels of other tasks, and an order in which all images come first."""
    path = find_shards(tars)[0]
    before = ShardImages(files[2] / "tar" / path.name)
    members = sorted(members_of(path), key=lambda one: one[0].endswith("json"))
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("x" * 200)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in [*members, ("._1.jpg", b"0"), ("1.cls", b"7"), (f"{FIRST}.seg.png", b"0")]:
            tar.addfile(member(name, content), io.BytesIO(content))
    assert same_images(before, ShardImages(path))


def test_a_shard_that_changes_is_named(shards):
    images = ShardImages(shards)
    path = find_shards(shards)[0]
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"expected the shard that was opened, got one that has changed since"):
        images.load(0)
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        images.load(0)


def test_missing_shards_are_named(shards, tmp_path):
    paths = find_shards(shards)
    paths[1].unlink()
    with pytest.raises(ValueError, match=rf"expected 3 shards, got 2: {paths[1].name} is missing"):
        ShardImages(shards)
    paths[0].rename(shards / f"other{paths[0].suffix}")
    with pytest.raises(ValueError, match=r"expected shards of one set"):
        ShardImages(shards)
    with pytest.raises(FileNotFoundError, match=r"no such file or folder, and no files of that pattern"):
        ShardImages(tmp_path / "nowhere*.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected shards that end in \.tar or \.parquet, got none"):
        ShardImages(tmp_path / "empty")


def test_both_kinds_in_a_folder_are_refused(files, tmp_path):
    for name in FORMATS:
        shutil.copytree(files[2] / name, tmp_path / "both", dirs_exist_ok=True)
    with pytest.raises(ValueError, match=r"got \.parquet and \.tar"):
        ShardImages(tmp_path / "both")


def test_odd_parquet_files_are_named(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "a.parquet"

    def refused(message, **columns):
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(ValueError, match=message):
            ShardImages(path)

    refused(r"expected a column image of type binary, got columns x", x=[1])
    refused(r"expected a column image of type binary, got string", image=["a"], annotations=["b"])
    refused(r"expected a column annotations of type string, got columns image", image=[b"a"])
    refused(r"a\.parquet: row 0: expected annotations of at most", image=[b"a"], annotations=pa.array([None], "string"))
    refused(r"a\.parquet: row 0: expected .* COCO's format, got no JSON", image=[b"a"], annotations=["{"])
    text = json.dumps(good())
    parquet.write_table(pa.table({"image": pa.array([None], "binary"), "annotations": [text]}), path)
    with pytest.raises(ValueError, match=r"row group 0, row 0: expected an image, got none"):
        ShardImages(path).load(0)
    texts = [text.replace('"id": 3', f'"id": {n}').replace('"image_id": 3', f'"image_id": {n}') for n in range(100)]
    parquet.write_table(pa.table({"image": [b"no image"] * 100, "annotations": texts}), path)
    images = ShardImages(path)
    assert images.notes[-1].endswith("row groups of 100 images, all of which are read for one; `personlab shard` "
                                     "writes small groups")  # fmt: skip
    with pytest.raises(ValueError, match=r"a\.parquet: row 7: expected an image, got another kind of file"):
        images.load(7)
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"a\.parquet: expected a Parquet file, got another or a damaged one"):
        ShardImages(path)


def test_without_pyarrow_a_line_says_what_to_install(files, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert shard(*files[:2], tmp_path / "x", "--format", "parquet") == 1
    assert capsys.readouterr().err.endswith("pip install 'personlab[shards]'\n")
    assert not (tmp_path / "x").exists()
    with pytest.raises(ImportError, match=r"personlab\[shards\]"):
        ShardImages(files[2] / "parquet")
    assert len(ShardImages(files[2] / "tar")) == 10


def test_a_failed_call_leaves_no_partial_shard(files, tmp_path, capsys):
    annotations, images, _ = files
    copy = shutil.copytree(images, tmp_path / "images")
    (copy / "000000000007.png").write_bytes(b"text")
    assert shard(annotations, copy, tmp_path / "out") == 1
    assert "1 of 10 images cannot be read: 000000000007.png (no image)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_stored_image_reads_as_its_file(files):
    path = next(files[1].iterdir())
    stored = StoredImage("a.tar: 1.png", path.read_bytes)
    assert np.array_equal(read_image(stored), read_image(path))
    with pytest.raises(ValueError, match=r"a\.tar: 1\.png: expected an image, got an empty file"):
        read_image(StoredImage("a.tar: 1.png", bytes))
