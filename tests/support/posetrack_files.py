"""Small files in PoseTrack's format of 2018 for tests."""

from __future__ import annotations

from personlab.data.posetrack import KEYPOINTS

CATEGORIES = [
    {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": list(KEYPOINTS),
        "skeleton": [[k, k + 1] for k in range(1, 17)],
    }
]


def keypoints(**points):
    """51 numbers: name=(x, y), or (x, y, v)."""
    values = [0.0] * 51
    for name, point in points.items():
        at = 3 * KEYPOINTS.index(name)
        values[at : at + 3] = (*point, 1)[:3]
    return values


def person(image, track=None, scores=None, *, head=(0, 0, 30, 40), **points):
    """An annotation, or a result; the head's size is 0.6 * 50 = 30 pixels."""
    entry = {"image_id": image, "category_id": 1, "keypoints": keypoints(**points)}
    if track is not None:
        entry["track_id"] = track
    if head is not None:
        entry["bbox_head"] = list(head)
    if scores is not None:
        entry["scores"] = [scores] * 17
    return entry


def sequence(people, *, frames=1, name="one", unlabelled=(), size=None, **more):
    """The content of a file with images 1, 2 ... of a sequence."""
    images = [
        {"id": n, "file_name": f"images/{name}/{n}.jpg", "vid_id": name, "is_labeled": n not in unlabelled, **more}
        | ({} if size is None else {"width": size[0], "height": size[1]})
        for n in range(1, frames + 1)
    ]
    listed = [{"id": number, **entry} for number, entry in enumerate(people, 1)]
    return {"images": images, "annotations": listed, "categories": CATEGORIES}
