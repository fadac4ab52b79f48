"""Draws everything about one decoding of maps: each map, the order of assembly, the bodies and the people."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer
from personlab.io.images import as_image
from personlab.io.imaging import fit
from personlab.methods.simple_pose.draw.assembly import draw_bodies, draw_body, draw_order, explain_assembly
from personlab.methods.simple_pose.draw.maps import KEYPOINT, LIMB, canvas, draw_keypoint, draw_limb, draw_map
from personlab.methods.simple_pose.options import SimplePoseOptions
from personlab.methods.simple_pose.people import parts_of
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize.people import overlay

if TYPE_CHECKING:
    from personlab.methods.simple_pose.fields import SimplePoseFields
    from personlab.poses import Poses
    from personlab.visualize.canvas import Image

_DEFAULTS = SimplePoseOptions()


def fields_gallery(
    fields: SimplePoseFields,
    image: Image | None = None,
    poses: Poses | None = None,
    masks: Any = None,
    *,
    options: SimplePoseOptions = _DEFAULTS,
    skeleton: Skeleton = COCO_PERSON,
    bodies: int = 3,
    longest_side: int = 1600,
) -> dict[str, Image]:
    """Draw maps, each step of decoding and its result; return the images by name, fit for file names.

    The names are "people", "keypoints" and "limbs", of all maps of a kind in one, "order", "bodies", "body_1" and so
    on, "keypoint_<name>" and "limb_<name>_<name>" for each map.

    Args:
        fields: maps of the image.
        image: (H, W, 3) uint8 RGB; a grey stand-in where left out.
        poses: its people, in pixels of the image; decoded where left out.
        masks: none.
        options: of decoding.
        skeleton: of the people.
        bodies: max number of people whose assembly is drawn enlarged, best first.
        longest_side: max side of the drawings, pixels; a larger image is shrunk.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape, or maps of another skeleton.
    """
    del masks
    background = canvas(fields) if image is None else as_image(image)
    small = _shrunk(background, as_integer(longest_side, "longest_side", 1))
    parts = parts_of(skeleton)
    assembly = explain_assembly(fields, parts, options)
    scale = np.array(small.shape[1::-1]) / np.maximum(fields.image_size, 1)
    poses = assembly.people if poses is None else poses
    factors = [new / max(old, 1) for new, old in zip(small.shape[1::-1], background.shape[1::-1], strict=True)]
    drawn = {
        "people": overlay(small, poses.scaled(*factors), None, skeleton=skeleton),
        "keypoints": draw_map(small, fields, fields.keypoints.max(axis=0, initial=0), KEYPOINT),
        "limbs": draw_map(small, fields, fields.limbs.max(axis=0, initial=0), LIMB),
        "order": draw_order(small, assembly, scale),
        "bodies": draw_bodies(small, assembly, scale),
    }
    for number in range(min(len(assembly.bodies), as_integer(bodies, "bodies", 0))):
        drawn[f"body_{number + 1}"] = draw_body(small, assembly, number, scale)
    names, places = parts.skeleton.names, assembly.places * scale
    for k, name in enumerate(names):
        own = places[assembly.peaks.keypoints == k]
        drawn[f"keypoint_{_file_name(name)}"] = draw_keypoint(small, fields, k, title=name, peaks=own)
    for limb, (a, b) in enumerate(parts.skeleton.edges):
        ends = [(places[one.a], places[one.b]) for one in assembly.connections if one.limb == limb]
        title, file = f"{names[a]} - {names[b]}", f"limb_{_file_name(names[a])}_{_file_name(names[b])}"
        drawn[file] = draw_limb(small, fields, limb, title=title, connections=ends)
    return drawn


def _file_name(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", name)


def _shrunk(image: Image, longest_side: int) -> Image:
    height, width = image.shape[:2]
    factor = longest_side / max(height, width, 1)
    return image if factor >= 1 else fit(image, (max(1, round(width * factor)), max(1, round(height * factor))))
