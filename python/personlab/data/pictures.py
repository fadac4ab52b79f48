"""The earlier name of `personlab.data.images`."""

from personlab.data.images import CocoImages as CocoPictures
from personlab.data.images import DrawnImages as DrawnPictures

__all__ = ["CocoPictures", "DrawnPictures"]
