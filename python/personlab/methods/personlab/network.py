"""The PersonLab network: a backbone, 1x1 heads, and its outputs as fields."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from personlab.methods.personlab.config import NORMALIZATIONS
from personlab.methods.personlab.fields import FIELD_NAMES, Fields
from personlab.methods.personlab.refine_op import refine_offsets
from personlab.nn.backbones.mobilenet import MobileNetV1
from personlab.nn.backbones.resnet import ResNet
from personlab.nn.config import check_stride
from personlab.nn.twin import twin
from personlab.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from personlab.methods.personlab.config import ModelConfig
    from personlab.nn.backbones.base import Backbone
    from personlab.skeleton import Skeleton

_HEAD_DEVIATION = 0.001  # of the heads' first weights: training starts at the priors below, offsets at 0
_HEATMAP_PRIOR = -3.0  # logit: about 1 in 20 cells lies within R of a keypoint of one type
_SEGMENTATION_PRIOR = -1.5  # logit: about 1 in 5 cells is a person


class Outputs(NamedTuple):
    """Outputs for N images on a grid of h x w cells; offsets are (dx, dy) in input pixels."""

    heatmaps: Tensor  # (N, K, h, w) logits
    short_offsets: Tensor  # (N, K, 2, h, w)
    mid_offsets: Tensor  # (N, 2E, 2, h, w)
    segmentation: Tensor | None  # (N, 1, h, w) logits; None without masks
    long_offsets: Tensor | None  # (N, K, 2, h, w); None without masks
    intermediate: Outputs | None = None  # of the intermediate heads, in training mode alone


class Heads(nn.Module):
    """A 1x1 convolution for each field (section 4)."""

    def __init__(self, channels: int, skeleton: Skeleton, *, masks: bool) -> None:
        super().__init__()
        k, e = skeleton.n_keypoints, skeleton.n_edges

        def head(outputs: int, prior: float = 0.0) -> nn.Conv2d:
            conv = nn.Conv2d(channels, outputs, 1)
            nn.init.normal_(conv.weight, std=_HEAD_DEVIATION)
            assert conv.bias is not None
            nn.init.constant_(conv.bias, prior)
            return conv

        self.heatmaps = head(k, _HEATMAP_PRIOR)
        self.short_offsets = head(2 * k)
        self.mid_offsets = head(4 * e) if e else None
        self.segmentation = head(1, _SEGMENTATION_PRIOR) if masks else None
        self.long_offsets = head(2 * k) if masks else None

    def forward(self, features: Tensor) -> Outputs:
        """Features (N, C, h, w) -> the fields of each cell."""
        device = features.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):  # bfloat16 knows an offset of 500 pixels to within 2
                return self._fields(features.to(self.heatmaps.weight.dtype))
        return self._fields(features)

    def _fields(self, features: Tensor) -> Outputs:
        n, _, h, w = features.shape
        pairs = (-1, 2)  # channels -> field, (dx, dy)
        return Outputs(
            heatmaps=self.heatmaps(features),
            short_offsets=self.short_offsets(features).unflatten(1, pairs),
            mid_offsets=features.new_zeros(n, 0, 2, h, w)
            if self.mid_offsets is None
            else self.mid_offsets(features).unflatten(1, pairs),
            segmentation=None if self.segmentation is None else self.segmentation(features),
            long_offsets=None if self.long_offsets is None else self.long_offsets(features).unflatten(1, pairs),
        )


class PersonLab(nn.Module):
    """The PersonLab network (section 3 and 4), randomly initialised.

    Args:
        config: of the network, its attribute `config`. The attribute `settings` says how it is used, where known.
    """

    pixel_mean: Tensor  # (3, 1, 1) of pixels 0..255
    pixel_deviation: Tensor  # (3, 1, 1)
    edge_targets: Tensor  # (2E,) int64, target keypoint of each directed edge
    keypoint_numbers: Tensor  # (K,) int64, 0..K-1

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.settings = config, Settings()
        skeleton = config.skeleton
        self.backbone: Backbone
        if config.backbone == "mobilenet_v1":
            self.backbone = MobileNetV1(width=config.width, stride=config.stride, norm=config.norm)
        else:
            self.backbone = ResNet(config.backbone, stride=config.stride, norm=config.norm)
        self.heads = Heads(self.backbone.channels, skeleton, masks=config.masks)
        self.intermediate_heads = (
            Heads(self.backbone.middle_channels, skeleton, masks=config.masks) if config.intermediate else None
        )
        assert config.normalization is not None
        # Facts of the configuration, not weights: they stay out of the state dict.
        for name, values in zip(("pixel_mean", "pixel_deviation"), NORMALIZATIONS[config.normalization], strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        targets = [target for _, target in skeleton.directed_edges]
        self.register_buffer("edge_targets", torch.tensor(targets, dtype=torch.int64), persistent=False)
        numbers = torch.tensor(range(skeleton.n_keypoints), dtype=torch.int64)
        self.register_buffer("keypoint_numbers", numbers, persistent=False)

    def forward(self, images: Tensor) -> Outputs:
        """Compute the fields of images; in training mode with `config.intermediate`, `Outputs.intermediate` as well.

        Args:
            images: (N, 3, H, W) RGB 0..255, any number type; H and W at best a multiple of the stride plus 1: then cell
                (i, j) sits at pixel (x = j * stride, y = i * stride).

        Returns:
            The fields, h = ceil(H / stride) by w = ceil(W / stride) cells.

        Raises:
            ValueError: another shape.
        """
        features, middle = self.features(images)
        outputs = self._refined(self.heads(features))
        if self.intermediate_heads is None or not self.training:
            return outputs
        return outputs._replace(intermediate=self._refined(self.intermediate_heads(middle)))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the heads read (N, C, h, w), and what intermediate heads read, of images as `forward` takes them.

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images: expected shape (N, 3, H, W), got {tuple(images.shape)}")
        both: tuple[Tensor, Tensor] = self.backbone(self._normalized(images))
        return both

    def at_stride(self, stride: int) -> PersonLab:
        """Return the network at output stride 8 or 16: another module that shares parameters and running statistics.

        Raises:
            TypeError: no integer.
            ValueError: neither 8 nor 16.
        """
        other = twin(self)
        other.config = replace(self.config, stride=check_stride(stride))
        other.settings = replace(self.settings, stride=other.config.stride)
        other.backbone.set_stride(other.config.stride)
        return other

    def _normalized(self, images: Tensor) -> Tensor:
        weights = self.pixel_mean.dtype
        kind = torch.promote_types(weights, torch.float32)  # a 16-bit network still reads its pixels in 32 bits
        centred = images.to(kind) - self.pixel_mean.to(kind)
        return (centred / self.pixel_deviation.to(kind)).to(weights)

    def _refined(self, outputs: Outputs) -> Outputs:
        stride, steps = self.config.stride, self.config.refine_steps
        if steps == 0:
            return outputs
        short, long = outputs.short_offsets, outputs.long_offsets
        mid = refine_offsets(outputs.mid_offsets, short, self.edge_targets, stride=stride, steps=steps)
        if long is not None:
            long = refine_offsets(long, long, self.keypoint_numbers, stride=stride, steps=steps)
            long = refine_offsets(long, short, self.keypoint_numbers, stride=stride, steps=steps)
        return outputs._replace(mid_offsets=mid, long_offsets=long)


def to_fields(outputs: Outputs, *, stride: int, image_size: tuple[int, int] | None = None) -> Fields:
    """Return the outputs as float32 `Fields` in host memory, with the leading axis N; `fields[i]` is one image.

    Args:
        outputs: of a network, on any device, of any float type.
        stride: its output stride, input pixels.
        image_size: (w, h) of the image that was resized to the network's input, where known; one for all.

    Raises:
        TypeError, ValueError: as `Fields` raises them.
    """

    def array(tensor: Tensor) -> NDArray[np.float32]:
        values: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
        return values

    arrays: dict[str, Any] = {
        name: array(tensor) for name in FIELD_NAMES if (tensor := getattr(outputs, name)) is not None
    }
    return Fields(**arrays, stride=stride, image_size=image_size)
