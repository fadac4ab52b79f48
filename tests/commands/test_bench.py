"""`personlab bench`: what it prints is what was decoded, and floors lie under what was measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scenes import random_fields

from personlab import COCO_PERSON, DecodeOptions, decode_poses
from personlab.cli import main
from personlab.methods.personlab.bench import STAGES, crowd, time_decoding

SIZE = (241, 321)


def test_a_crowd_is_found_again():
    fields = crowd(3, size=SIZE)
    assert len(decode_poses(fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride)) == 3
    assert fields.input_size == SIZE[::-1]
    assert not (crowd(0, size=SIZE).heatmaps > -9).any()


@pytest.mark.parametrize("g", [1, 2])
def test_times_and_counts_are_those_of_the_decode(g):
    fields, options = crowd(3, size=SIZE), DecodeOptions(hough_stride=g)
    timing = time_decoding(fields, options=options, rounds=5)
    assert timing.people == 3
    assert set(timing.stages) == set(STAGES)
    assert all(seconds > 0 for seconds in timing.stages.values())
    assert timing.floors.keys() == set(STAGES) - {"scan"}
    assert timing.floors["vote"] > timing.stages["scan"] / 2
    assert timing.masks > 0
    assert timing.poses > timing.stages["vote"] / 2


def test_votes_are_lattice_points_at_the_threshold():
    fields = random_fields(0, COCO_PERSON, 1, 7, 8)  # one row of cells: a lattice line is plain interpolation
    positions = np.arange(0, 49, 4) / 8
    logits = np.stack([np.interp(positions, np.arange(7), row) for row in fields.heatmaps[:, 0].astype(np.float64)])
    expected = (1 / (1 + np.exp(-logits)) >= 0.3).sum()
    assert time_decoding(fields, options=DecodeOptions(hough_stride=4, vote_threshold=0.3), rounds=1).votes == expected


def test_what_cannot_be_timed_is_refused():
    fields = crowd(1, size=SIZE)
    with pytest.raises(ValueError, match=r"options: expected the paper's decoder"):
        time_decoding(fields, options=DecodeOptions.posenet())
    with pytest.raises(ValueError, match=r"rounds: expected an integer from 1"):
        time_decoding(fields, rounds=0)
    batch = type(fields)(
        heatmaps=fields.heatmaps[None], short_offsets=fields.short_offsets[None], mid_offsets=fields.mid_offsets[None],
        stride=8,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"expected those of one image, got a batch of 1"):
        time_decoding(batch)


def test_a_row_for_each_file_and_crowd(capsys, tmp_path):
    path = tmp_path / "three.npz"
    crowd(3, size=SIZE).save(path)
    size = [str(side) for side in SIZE]
    assert main(["bench", str(path), "--people", "0", "2", "--size", *size, "--rounds", "2"]) == 0
    head, _, header, *rows = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"microseconds, hough_stride 2, threads 1, instruction set \w+", head)
    assert header.split()[:4] == ["fields", "grid", "people", "votes"]
    assert [row.split("  ")[0] for row in rows] == ["three", "crowd of 0", "crowd of 2"]
    assert [re.search(r" 31x41 +(\d+) ", row)[1] for row in rows] == ["3", "0", "2"]


def test_a_size_off_the_grid_is_wrong_usage(capsys):
    assert main(["bench", "--size", "100", "129"]) == 2
    assert "--size: expected multiples of 8 plus 1, got 100 129" in capsys.readouterr().err
