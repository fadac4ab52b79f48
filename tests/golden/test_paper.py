"""What the paper's scheme and PoseNet's give on real fields has not changed by a byte since they were the only ones."""

import hashlib

import pytest
from agreement import core_poses

from personlab import DecodeOptions

OPTIONS = {
    "paper": DecodeOptions.paper(),
    "paper at g = 1": DecodeOptions.paper(hough_stride=1),
    "posenet": DecodeOptions.posenet(),
}

# The first 16 digits of the SHA-256 digest of keypoints, s_jk, p_jk and scores, by options, by field file.
DIGESTS = {
    "coco_000000081988_641_s8": ("5090816719655c4a", "314eb96f9e8e963d", "9a393edb1aa69aa4"),
    "coco_000000114907_641_s8": ("966841cd7c5dbb1b", "7b703e1ca2c61f23", "d255297543ad23ea"),
    "coco_000000147740_641_s8": ("aca1018ce1106921", "3906fbc9a7f169b8", "6ae6b2c709fe8ac0"),
    "coco_000000541055_641_s8": ("2c04c79acec46505", "94023a2d3260890a", "4f164f3ed9d93496"),
    "couple_641_s16": ("1de9c79596d7e7bf", "03635a54565953ee", "d99146fd6139331d"),
    "couple_641_s8": ("39d547b1b6ffb513", "607a865f553538c7", "508047595ef133ea"),
    "office_group_801_s8": ("8f049c39e10911e0", "a41e4f6e52e2c097", "108e40ad7e8a5761"),
    "soccer_1281_s8": ("4d9560abec4b5dc3", "d2cbb0a87890dff2", "078a090801f5b78d"),
    "soccer_641_s16": ("78ccf910601b07f2", "ac56bfc480e67da8", "12370a6bb0a2c0db"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_bytes_are_those_of_before(field_name, fields, name):
    poses = core_poses(fields, OPTIONS[name])
    digest = hashlib.sha256()
    for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores):
        digest.update(array.tobytes())
    assert digest.hexdigest()[:16] == dict(zip(OPTIONS, DIGESTS[field_name], strict=True))[name]
