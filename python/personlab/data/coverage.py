"""Counts the people of an annotation file that each loss of training covers, with reasons for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from personlab.data.index import Index


class Coverage(NamedTuple):
    """Counts of annotations."""

    images: int
    crowds: int
    people: int  # all annotations but crowds
    labelled: int  # of them with labelled keypoints: heatmaps, short and mid offsets
    outlined: int  # with outlines: segmentation
    both: int  # long offsets

    def lines(self) -> list[str]:
        """Return what each loss covers, as lines for the log."""
        bare = self.people - self.labelled - self.outlined + self.both
        summary = (
            f"{self.people:,} people and {self.crowds:,} crowds in {self.images:,} images; keypoint losses see "
            f"{self.labelled:,} people (labelled keypoints), segmentation {self.outlined:,} (outlines), long offsets "
            f"{self.both:,} (both)"
        )
        lines = [summary]
        if self.outlined > self.both:
            lines.append(
                f"{self.outlined - self.both:,} of {self.people:,} people have an outline and no labelled keypoints: "
                "heatmaps do not count inside"
            )
        if self.labelled > self.both and self.outlined:
            lines.append(
                f"{self.labelled - self.both:,} of {self.people:,} people have no outline: their boxes, grown by a "
                "tenth on each side, count in neither segmentation nor long offsets"
            )
        if bare:
            lines.append(
                f"{bare:,} of {self.people:,} people have neither outline nor labelled keypoints: their boxes, grown "
                "by a tenth on each side, count in no loss"
            )
        return lines


def count_coverage(index: Index) -> Coverage:
    """Count the annotations of an index."""
    labelled, outlined = index.labelled & ~index.crowd, index.outlined & ~index.crowd
    return Coverage(
        images=len(index.image_ids),
        crowds=int(index.crowd.sum()),
        people=int((~index.crowd).sum()),
        labelled=int(labelled.sum()),
        outlined=int(outlined.sum()),
        both=int((labelled & outlined).sum()),
    )
