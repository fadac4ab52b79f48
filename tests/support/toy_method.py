"""A second method, as small as one can be: one person, each keypoint where its heatmap is highest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from personlab import COCO_PERSON, Poses, Skeleton
from personlab.io.resize import input_size, resize
from personlab.methods import Method
from personlab.methods.base import Prepared
from personlab.nn.config import read_config
from personlab.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    method: ClassVar[Method]  # the record itself, which is in no table
    stride: int = 8
    skeleton: Skeleton = COCO_PERSON

    def __post_init__(self):
        if self.stride != 8:
            raise ValueError(f"stride: expected 8, got {self.stride}")

    def to_json(self):
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text):
        return read_config(cls, text)


@dataclass(frozen=True, kw_only=True)
class ToyOptions:
    min_probability: float = 0.0


@dataclass(frozen=True)
class ToyFields:
    heat: np.ndarray  # (K, h, w) probabilities
    image_size: tuple[int, int]  # (w, h)

    @property
    def image_scale(self):
        (h, w), (width, height) = self.heat.shape[1:], self.image_size
        return (width - 1) / max((w - 1) * 8, 1), (height - 1) / max((h - 1) * 8, 1)

    def to_host(self):
        return self

    def save(self, path):
        np.savez_compressed(path, heat=self.heat, image_size=self.image_size)


@dataclass(frozen=True)
class ToyTargets:
    heat: np.ndarray  # (K, h, w) 1 at the cell of the first person's keypoint


class ToyOutputs(NamedTuple):
    heat: torch.Tensor  # (N, K, h, w) logits


class ToyNetwork(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.settings = config, Settings()
        layers = [(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU()) for i, o in ((3, 8), (8, 16), (16, 16))]
        self.backbone = nn.Sequential(*(module for layer in layers for module in layer))
        self.head = nn.Conv2d(16, config.skeleton.n_keypoints, 1)

    def at_stride(self, stride):
        replace(self.config, stride=stride)  # there is no other
        return self

    def forward(self, images):
        return ToyOutputs(self.head(self.backbone(images.float() / 127.5 - 1)))


def prepare(image, setup, notes):
    size = image.shape[1], image.shape[0]
    shown, _ = input_size(size, stride=8, long_edge=setup.inputs.long_edge, max_pixels=setup.inputs.max_pixels)
    return Prepared((resize(image, shown)[None],), size)


def merge(outputs, ways, setup, to_host):
    (view,) = outputs
    return [ToyFields(heat.sigmoid().cpu().numpy(), size) for heat, size in zip(view["heat"], ways, strict=True)]


def decode(fields, setup):
    heat = fields.heat.reshape(len(fields.heat), -1)
    y, x = np.divmod(heat.argmax(1), fields.heat.shape[2])
    best = heat.max(1)
    people = best[None].mean(1) >= setup.options.min_probability
    points = np.stack([x, y], 1)[None].astype(np.float32) * 8
    return Poses(points[people], best[None][people], best[None].mean(1)[people])


def encode(people, grid, options):
    h, w = ((side - 1) // grid.stride + 1 for side in grid.size)
    heat = np.zeros((grid.skeleton.n_keypoints, h, w), np.float32)
    for k, (x, y, v) in enumerate(people.keypoints[0] if len(people.keypoints) else ()):
        i, j = round(float(y) / grid.stride), round(float(x) / grid.stride)
        if v > 0 and 0 <= i < h and 0 <= j < w:
            heat[k, i, j] = 1
    return ToyTargets(heat)


def losses(model, options):
    return lambda outputs, batch: {"total": functional.mse_loss(outputs.heat.float().sigmoid(), batch.heat)}


def draw(fields, image, poses, masks=None, *, options, skeleton):
    h, w = image.shape[:2]
    return {"heat": cv2.resize((fields.heat.max(0) * 255).astype(np.uint8), (w, h))[..., None].repeat(3, 2)}


def draw_batch(model, batch, options):
    with torch.no_grad():
        heat = model(batch.images).heat[0].sigmoid().amax(0)
    both = torch.cat([batch.heat[0].amax(0), heat], 1)
    return (both[..., None].repeat(1, 1, 3) * 255).byte().cpu().numpy()


TOY = ToyConfig.method = Method(
    name="toy",
    config=ToyConfig,
    fields=ToyFields,
    targets=ToyTargets,
    options=ToyOptions,
    every_pose=ToyOptions(),
    outputs=lambda masks: ("heat",),
    tune=lambda options, settings, disk_radius: options,
    prepare=prepare,
    merge=merge,
    can_decode_on=lambda device, config: False,
    decode=decode,
    network=ToyNetwork,
    encode=encode,
    losses=losses,
    draw=draw,
    draw_batch=draw_batch,
)
