"""The last step of decoding: each keypoint moves to the weighted mean of the Hough scores around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.personlab.backends.reference.disc import read_disc
from personlab.methods.personlab.backends.reference.sampling import single

if TYPE_CHECKING:
    from personlab.methods.personlab.backends.reference.sampling import Array, Field
    from personlab.options import DecodeOptions

RADIUS = 3  # of the disc, in sigmas
MIN_MASS = 1e-6  # sum of weighted Hough scores up to which a keypoint stays where it is


def sharpen_keypoints(keypoints: Field, hough: Field, *, options: DecodeOptions) -> Array:
    """One mean shift of poses (P, K, 2): y <- sum h_k(x) w(x) x / sum h_k(x) w(x) over lattice points x in a disc.

    w(x) = exp(-|x - y|^2 / (2 sigma^2)), sigma = `options.sharpen` input pixels, in a disc of 3 sigma; negative scores
    count as 0.
    """
    sharpened = np.array(keypoints, np.float64)
    g, sigma2 = options.hough_stride, single(options.sharpen) ** 2
    last = (np.array(hough.shape[:0:-1]) - 1) * g  # x, y of the last lattice point
    if sigma2 == 0:
        return sharpened
    for j, k in np.ndindex(*sharpened.shape[:2]):
        x, y = sharpened[j, k]
        scores, dx, dy = read_disc(hough[k], x, y, g=g, radius2=RADIUS**2 * sigma2)
        weight = np.maximum(scores, 0) * np.exp(-(dx**2 + dy[:, None] ** 2) / (2 * sigma2))
        mass = weight.sum()
        if mass > MIN_MASS:
            shift = (weight * dx).sum() / mass, (weight * dy[:, None]).sum() / mass
            sharpened[j, k] = np.clip(sharpened[j, k] + shift, 0, last)  # among lattice points, but for rounding
    return sharpened
