"""PersonLab: find every person in a picture bottom-up, from one pass of a network (ECCV 2018, arXiv 1803.08225)."""

try:
    import personlab._core  # noqa: F401  # here, so that its absence is explained below
except ModuleNotFoundError as error:
    if error.name != "personlab._core":
        raise
    raise ImportError(
        "personlab: the compiled core is missing; install the package (`pip install .` in the source tree) rather than "
        "importing it from there"
    ) from None

from personlab import stages
from personlab.decode import decode_masks, decode_poses
from personlab.fields import Fields
from personlab.info import __version__, build_info
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.targets import Targets, encode_targets

__all__ = [
    "COCO_PERSON",
    "DecodeOptions",
    "Fields",
    "MaskOptions",
    "Poses",
    "Skeleton",
    "Targets",
    "__version__",
    "build_info",
    "decode_masks",
    "decode_poses",
    "encode_targets",
    "stages",
]
