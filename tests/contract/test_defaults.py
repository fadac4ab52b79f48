"""What users see by default: as many people as there are, and nobody twice."""

from __future__ import annotations

import pytest

from personlab import decode_poses
from personlab.methods.personlab.method import EVERY_POSE


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("couple_641_s16", 2),
        ("couple_641_s8", 2),
        ("soccer_641_s16", 2),
        ("soccer_1281_s8", 2),
        ("office_group_801_s8", 5),
        ("coco_000000541055_641_s8", 5),
    ],
)
def test_everyone_once(load_fields, name, people):
    fields = load_fields(name)
    arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
    assert len(decode_poses(*arrays, stride=fields.stride)) == people
    assert len(decode_poses(*arrays, stride=fields.stride, options=EVERY_POSE)) > people
