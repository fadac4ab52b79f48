"""A small data set of drawn people as files and as shards, for tests."""

from __future__ import annotations

from personlab.cli import main

COUNT, PER_SHARD = 10, 4


def write_dataset(folder, *, count=COUNT, size=(97, 129), people=(1, 2)):
    """Drawn scenes in COCO's format: annotations and the folder of images."""
    argv = ["scenes", "--output", folder, "--count", count, "--size", *size, "--people", *people]
    assert main(list(map(str, argv))) == 0
    return folder / "person_keypoints.json", folder / "images"


def shard(annotations, images, folder, *more):
    """The exit code of `personlab shard`, and the folder."""
    argv = ["shard", "--annotations", annotations, "--images", images, "--output", folder, *more]
    return main(list(map(str, argv)))
