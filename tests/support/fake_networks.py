"""Stand-ins for a trained network whose fields are known exactly: what prediction makes of them can be checked."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from personlab import COCO_PERSON, encode_targets

SURE = 10.0  # logit


class FakeNetwork(torch.nn.Module):
    """What the stand-ins share: the interface of `personlab.nn.PersonLab`."""

    sure = SURE  # logit of every heatmap

    def __init__(self, *, stride=16, masks=True, skeleton=COCO_PERSON):
        super().__init__()
        self.config = SimpleNamespace(stride=stride, skeleton=skeleton, masks=masks)
        self.shapes = []  # of the inputs, in the order of the calls

    def forward(self, images):
        assert images.dtype == torch.float32
        assert images.shape[1] == 3
        assert all((side - 1) % self.config.stride == 0 for side in images.shape[2:])
        self.shapes.append(tuple(images.shape))
        fields = [self.see(image) for image in images]
        names = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
        stacked = {n: torch.from_numpy(np.stack([getattr(f, n) for f in fields])) for n in names[:3]}
        for name in names[3:]:
            stacked[name] = (
                torch.from_numpy(np.stack([getattr(f, name) for f in fields])) if self.config.masks else None
            )
        return SimpleNamespace(**stacked)

    def everywhere(self, points, size):
        """Fields of one person with keypoints at `points` (K, 2), as every cell knows; its mask is the right half."""
        (height, width), stride, skeleton = size, self.config.stride, self.config.skeleton
        y, x = np.mgrid[0:height:stride, 0:width:stride].astype(np.float32)
        points = np.asarray(points, np.float32)
        offsets = points[:, :, None, None] - np.stack([x, y])
        targets = [target for _, target in skeleton.directed_edges]
        logits = np.full((skeleton.n_keypoints, *x.shape), self.sure, np.float32)
        return SimpleNamespace(
            heatmaps=logits,
            short_offsets=offsets,
            mid_offsets=offsets[targets],
            segmentation=np.clip(x - (width - 1) / 2, -SURE, SURE)[None],
            long_offsets=offsets,
        )


class OnePerson(FakeNetwork):
    """Sees one person at fixed places of any image, mirrored where the image is darker on the left.

    Args:
        points: (K, 2) from 0, the first pixel, to 1, the last.
    """

    def __init__(self, points, **more):
        super().__init__(**more)
        self.points = np.asarray(points, np.float32)

    def see(self, image):
        height, width = image.shape[1:]
        points = self.points * (width - 1, height - 1)
        mirrored = bool(image[:, :, 0].mean() < image[:, :, -1].mean())
        if mirrored:
            points = points[list(self.config.skeleton.flip)]
            points[:, 0] = width - 1 - points[:, 0]
        fields = self.everywhere(points, (height, width))
        if mirrored:
            fields.segmentation = fields.segmentation[..., ::-1].copy()
        return fields


class Spot(FakeNetwork):
    """Sees one person, all of whose keypoints are where one colour has its centre of gravity."""

    def __init__(self, channel=0, **more):
        super().__init__(**more)
        self.channel = channel

    def see(self, image):
        light = image[self.channel].double()
        height, width = light.shape
        x = float((light.sum(0) * torch.arange(width)).sum() / light.sum())
        y = float((light.sum(1) * torch.arange(height)).sum() / light.sum())
        return self.everywhere(np.full((self.config.skeleton.n_keypoints, 2), (x, y)), (height, width))


class SceneNetwork(FakeNetwork):
    """Says what is true of one scene at any scale, and of its mirror image, which it tells by the pixels."""

    def __init__(self, scene, **more):
        super().__init__(**more)
        self.scene = scene

    def see(self, image):
        height, width = image.shape[1:]
        h, w = self.scene.image.shape[:2]
        rows = np.rint(np.linspace(0, h - 1, height)).astype(int)
        columns = np.rint(np.linspace(0, w - 1, width)).astype(int)
        seen = self.scene.image[rows[:, None], columns].astype(float)
        pixels = image.permute(1, 2, 0).numpy()
        mirrored = np.abs(pixels - seen[:, ::-1]).mean() < np.abs(pixels - seen).mean()
        keypoints = self.scene.keypoints * np.array([(width - 1) / (w - 1), (height - 1) / (h - 1), 1], np.float32)
        masks = self.scene.masks[:, rows[:, None], columns]
        if mirrored:
            keypoints = keypoints[:, list(self.config.skeleton.flip)]
            keypoints[..., 0] = np.where(keypoints[..., 2] > 0, width - 1 - keypoints[..., 0], 0)
            masks = masks[..., ::-1].copy()
        return encode_targets(keypoints, masks, size=(height, width), stride=self.config.stride).to_fields(logit=5.0)


def bright_left(size):
    """A grey image (h, w) that grows darker from left to right."""
    h, w = size
    ramp = np.linspace(250, 5, w).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (h, w, 3)))


def spots(size, centres, spread=9.0):
    """A black image (h, w) with a soft spot in each colour, at (x, y) or nowhere."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    image = np.zeros((h, w, 3))
    for channel, centre in enumerate(centres):
        if centre is not None:
            image[..., channel] = 250 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
    return np.rint(image).astype(np.uint8)


def turned_jpeg(image, orientation):
    """RGB as a JPEG file's bytes that says in its EXIF data how it is turned (1 to 8)."""
    import cv2

    _, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    tag = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little")
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + tag + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    plain = content.tobytes()
    return plain[:2] + segment + plain[2:]


def loads(network):
    """A stand-in for `personlab.predict.load.load_network` that loads one network whatever the weights are called."""
    from personlab.predict.load import load_network

    return lambda _weights, **more: load_network(network, **more)
