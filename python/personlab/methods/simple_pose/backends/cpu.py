"""Decoding of maps on the compiled core: NumPy arrays of the host, read where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.methods.simple_pose.steps import Body, Connection, PeakArrays, Steps
from personlab.poses import Poses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.methods.simple_pose.grid import MapGrid
    from personlab.methods.simple_pose.options import SimplePoseOptions
    from personlab.methods.simple_pose.parts import BodyParts

    Elements = NDArray[Any]  # float32, float16 or BFLOAT16, one for all


def decode_people_batch(
    keypoint_maps: Sequence[Elements],
    limb_maps: Sequence[Elements],
    *,
    grids: Sequence[MapGrid],
    parts: BodyParts,
    options: SimplePoseOptions,
) -> list[Poses]:
    """Returns the people of each of N images, whose maps come scale by scale."""
    batch = _core.decode_maps(
        keypoint_maps=keypoint_maps, limb_maps=limb_maps, stride=grids[0].stride,
        input_sizes=[grid.input_size for grid in grids], size=grids[0].size, skeleton=parts.native,
        options=options.native,
    )  # fmt: skip
    return list(map(Poses._trusted, batch))


def decode_steps(
    keypoint_maps: Sequence[Elements],
    limb_maps: Sequence[Elements],
    *,
    grids: Sequence[MapGrid],
    parts: BodyParts,
    options: SimplePoseOptions,
) -> Steps:
    """Returns the steps of decoding one image."""
    made = _core.decode_map_steps(
        keypoint_maps=keypoint_maps, limb_maps=limb_maps, stride=grids[0].stride,
        input_sizes=[grid.input_size for grid in grids], size=grids[0].size, skeleton=parts.native,
        options=options.native,
    )  # fmt: skip
    peaks = PeakArrays(
        made["types"].astype(np.intp), made["anchors"].astype(np.intp), made["positions"], made["scores"]
    )
    connections = [
        Connection(limb, a, b, score, i, j, length, rank)
        for (limb, a, b, i, j), (score, length, rank) in zip(
            made["joined"].tolist(), made["weights"].tolist(), strict=True
        )
    ]
    bodies = [
        Body({k: (peak, limb) for k, (peak, limb) in enumerate(zip(own, limbs, strict=True)) if peak >= 0}, *sums)
        for own, limbs, *sums in zip(
            made["peaks"].tolist(), made["limbs"].tolist(), made["totals"].tolist(), made["sizes"].tolist(),
            made["longest"].tolist(), strict=True,
        )
    ]  # fmt: skip
    return Steps(peaks, connections, bodies)
