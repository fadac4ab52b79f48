"""Run lengths of masks lead there and back."""

from __future__ import annotations

import numpy as np
import pytest

from personlab.io.results import decode_runs, encode_runs


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 1), (37, 52), (400, 900)])
def test_masks_are_what_their_runs_say(share, size):
    mask = np.random.default_rng(0).random(size) < share
    again = decode_runs(encode_runs(mask), size)
    assert again.dtype == bool
    assert np.array_equal(again, mask)
    large = np.zeros(size, bool)
    large[size[0] // 3 :, size[1] // 4 : -1] = True  # long runs: numbers of several digits, and negative ones
    assert np.array_equal(decode_runs(encode_runs(large), size), large)


@pytest.mark.parametrize("counts", ["", "0", "zz", "P", "1111", "<1"])
def test_runs_of_another_size_are_refused(counts):
    with pytest.raises(ValueError, match="counts: expected runs of 3 x 4 pixels"):
        decode_runs(counts, (3, 4))
