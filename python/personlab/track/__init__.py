"""Identities of people over the frames of a video, from the poses of any method."""

from personlab.track.boxes import box_overlap
from personlab.track.flow import Flow, join_boxes, propagate_boxes
from personlab.track.options import TrackOptions
from personlab.track.tracker import NO_ID, Tracker

__all__ = ["NO_ID", "Flow", "TrackOptions", "Tracker", "box_overlap", "join_boxes", "propagate_boxes"]
