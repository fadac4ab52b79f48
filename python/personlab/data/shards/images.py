"""Training images in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.data.images import AnnotatedImages
from personlab.data.shards.shard_set import read_shards

if TYPE_CHECKING:
    import os

    from personlab.io.images import StoredImage
    from personlab.skeleton import Skeleton


class ShardImages(AnnotatedImages):
    """The images of shards with their annotations, in the order of their ids, as `CocoImages` has them.

    Args:
        source: a folder, a file or a pattern (`personlab.data.shards.shard_set.find_shards`).
        skeleton, joined, labelled_only, held_out, empty_is_unknown: as `AnnotatedImages` takes them.
        category: name or number of the category (`personlab.data.category.choose_category`).

    Raises:
        ImportError, OSError, ValueError: as `read_shards` and `AnnotatedImages` raise them.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        skeleton: Skeleton | None = None,
        joined: bool = True,
        category: str = "person",
        labelled_only: bool = False,
        held_out: str | os.PathLike[str] | None = None,
        empty_is_unknown: bool = False,
    ) -> None:
        count = None if skeleton is None else skeleton.n_keypoints
        whole, self.stored = read_shards(source, category, n_keypoints=count)
        super().__init__(
            whole, whole, skeleton=skeleton, joined=joined, labelled_only=labelled_only, held_out=held_out,
            empty_is_unknown=empty_is_unknown,
        )  # fmt: skip
        self.notes += self.stored.notes

    def source(self, number: int) -> StoredImage:
        """Return the file of image `number`."""
        return self.stored[self.image_ids[number]]
