"""PersonLab: find every person in an image bottom-up, from one pass of a network (ECCV 2018, arXiv 1803.08225)."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import personlab._core  # noqa: F401  # here, so that its absence is explained below
except ModuleNotFoundError as error:
    if error.name != "personlab._core":
        raise
    raise ImportError(
        "personlab: the compiled core is missing; install the package (`pip install .` in the source tree) rather than "
        "importing it from there"
    ) from None

from personlab import cuda, stages
from personlab._lazy import lazy_names
from personlab.info import __version__, build_info
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.fields import Fields
from personlab.methods.personlab.targets import Targets, encode_targets
from personlab.methods.simple_baseline.decode import decode_simple_baseline
from personlab.methods.simple_baseline.options import SimpleBaselineOptions
from personlab.methods.simple_pose.decode import decode_simple_pose
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.parts import BodyParts
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, CROWDPOSE_PERSON, MPII_PERSON, POSETRACK_PERSON, Skeleton
from personlab.track import Tracker, TrackOptions

if TYPE_CHECKING:
    from personlab.predict import Prediction, Predictor
    from personlab.weights import load_model

__all__ = [  # noqa: RUF022  # as `sorted` orders them
    "BodyParts",
    "COCO_PERSON",
    "CROWDPOSE_PERSON",
    "DecodeOptions",
    "Fields",
    "MPII_PERSON",
    "MaskOptions",
    "POSETRACK_PERSON",
    "Poses",
    "Prediction",
    "Predictor",
    "SimpleBaselineOptions",
    "SimplePoseOptions",
    "Skeleton",
    "Targets",
    "TrackOptions",
    "Tracker",
    "__version__",
    "build_info",
    "cuda",
    "decode_masks",
    "decode_poses",
    "decode_simple_baseline",
    "decode_simple_pose",
    "encode_targets",
    "load_model",
    "stages",
]

__getattr__, __dir__ = lazy_names(  # their modules need more than NumPy
    __name__,
    {
        "Prediction": "personlab.predict",
        "Predictor": "personlab.predict",
        "load_model": "personlab.weights",
    },
)
