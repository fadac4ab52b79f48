"""Small files in the format of MPII's release for tests."""

from __future__ import annotations

import numpy as np
from scipy.io import savemat


def point(joint, x, y, visible=1):
    return {"id": joint, "x": x, "y": y, "is_visible": visible}


def structs(*entries):
    """A MATLAB struct array (1, n) of dicts with the same fields."""
    array = np.zeros((1, len(entries)), [(name, object) for name in entries[0]])
    for place, entry in enumerate(entries):
        for name, value in entry.items():
            array[0, place][name] = value
    return array


def rect(points, head=(11, 21, 41, 61), **more):
    """A person; heads from x1, y1 to x2, y2."""
    annopoints = structs({"point": structs(*points)}) if points else np.zeros((0, 0))
    corners = dict(zip(("x1", "y1", "x2", "y2"), head, strict=True)) if head else {}
    return {"annopoints": annopoints, **corners, **more}


def write(path, *images, train=None):
    """A release whose images are lists of people."""
    listed = [
        {"image": {"name": f"{n}.jpg"}, "annorect": structs(*people) if people else np.zeros((0, 0))}
        for n, people in enumerate(images)
    ]
    flags = np.ones(len(images)) if train is None else np.array(train, float)
    savemat(path, {"RELEASE": {"annolist": structs(*listed), "img_train": flags}})
    return path
