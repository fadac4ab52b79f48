"""Damaged annotation files neither break the reader nor hold it up: the first of what `fuzz_annotations.py` makes."""

from __future__ import annotations

import pytest
from fuzz_annotations import draw_base, run_case, run_cases

for module in ("cv2", "jsonargparse", "pycocotools", "torch"):
    pytest.importorskip(module)

PARTS, CASES = 6, 50  # 300 in all


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files_work_or_are_refused_in_one_line(tmp_path, part):
    base = draw_base(tmp_path)
    run_case(0, base, tmp_path)  # imports take their time
    ends, failures, _ = run_cases(range(part * CASES, (part + 1) * CASES), base, tmp_path)
    assert failures == []
    assert ends["refused"] > CASES / 2
    assert ends["done"] > CASES / 10
