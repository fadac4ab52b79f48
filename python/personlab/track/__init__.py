"""Identities of people over the frames of a video, from the poses of any method."""

from personlab.track.boxes import box_overlap
from personlab.track.options import TrackOptions
from personlab.track.tracker import NO_ID, Tracker

__all__ = ["NO_ID", "TrackOptions", "Tracker", "box_overlap"]
