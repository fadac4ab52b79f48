"""The Simple Baselines network: a ResNet and deconvolutions, under the names of the published checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from personlab.nn.backbones.mobilenet import MobileNetV1
from personlab.nn.backbones.resnet import ResNet, resnet_features
from personlab.nn.twin import twin
from personlab.settings import Settings

if TYPE_CHECKING:
    from personlab.methods.simple_baseline.config import SimpleBaselineConfig

# (mean, deviation) of pixels 0..255, in the order in which the network takes the channels
_NORMALIZATIONS = {
    "minus_one_to_one": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
_DEVIATION = 0.001  # of the first weights behind the backbone (section 4): training starts from maps of about 0
_RESNET_STRIDE, _MOBILENET_STRIDE = 32, 16


class Outputs(NamedTuple):
    """Heatmaps of N crops on a grid of h x w cells, about 0..1 at the keypoints of the person in the middle."""

    heatmaps: Tensor  # (N, K, h, w)


class SimpleBaseline(nn.Module):
    """The Simple Baselines network (section 2), randomly initialised.

    The layers of a ResNet, `deconv_layers` and `final_layer` are named as in the published checkpoints.

    Args:
        config: of the network, its attribute `config`. The attribute `settings` says how it is used, where known.
    """

    heads = ("final_layer",)  # first words of the names of parameters that belong to a skeleton
    pixel_mean: Tensor  # (3, 1, 1) of pixels 0..255
    pixel_deviation: Tensor  # (3, 1, 1)

    def __init__(self, config: SimpleBaselineConfig) -> None:
        super().__init__()
        self.config, self.settings = config, Settings()
        self.backbone: MobileNetV1 | None = None
        if config.backbone == "mobilenet_v1":
            self.backbone = MobileNetV1(width=config.width, stride=_MOBILENET_STRIDE, norm="batch")
            reached, inputs = _MOBILENET_STRIDE, self.backbone.channels
        else:
            trunk = ResNet(config.backbone, stride=_RESNET_STRIDE, norm="batch", style=config.style)
            for name, layer in trunk.named_children():
                self.add_module(name, layer)
            reached, inputs = _RESNET_STRIDE, trunk.channels
        layers: list[nn.Module] = []
        while reached > config.stride:
            layers += [_deconvolution(inputs, config.channels), nn.BatchNorm2d(config.channels), nn.ReLU(inplace=True)]
            reached, inputs = reached // 2, config.channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(inputs, config.skeleton.n_keypoints, 1)
        nn.init.normal_(self.final_layer.weight, std=_DEVIATION)
        assert self.final_layer.bias is not None
        nn.init.zeros_(self.final_layer.bias)
        assert config.normalization is not None
        # Facts of the configuration, not weights: they stay out of the state dict.
        for name, values in zip(("pixel_mean", "pixel_deviation"), _NORMALIZATIONS[config.normalization], strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Outputs:
        """Compute the heatmaps of crops.

        Args:
            images: (N, 3, H, W) RGB 0..255, any number type; H and W multiples of 32.

        Returns:
            The heatmaps, H / 4 by W / 4 cells.

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images: expected shape (N, 3, H, W), got {tuple(images.shape)}")
        weights = self.pixel_mean.dtype
        kind = torch.promote_types(weights, torch.float32)  # a 16-bit network still reads its pixels in 32 bits
        pixels = images.to(kind) if self.config.order == "rgb" else images.to(kind).flip(1)
        return Outputs(self.maps(((pixels - self.pixel_mean.to(kind)) / self.pixel_deviation.to(kind)).to(weights)))

    def maps(self, images: Tensor) -> Tensor:
        """Return the heatmaps (N, K, H / 4, W / 4) of normalised crops (N, 3, H, W)."""
        trunk: Any = self
        features, _ = resnet_features(trunk, images) if self.backbone is None else self.backbone(images)
        features = self.deconv_layers(features)
        device = features.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):  # bfloat16 knows the top of a peak to within 1/256
                return self.final_layer(features.to(self.final_layer.weight.dtype))  # type: ignore[no-any-return]
        return self.final_layer(features)  # type: ignore[no-any-return]

    def at_stride(self, stride: int) -> SimpleBaseline:
        """Return the network at its only output stride: another module over the same weights.

        Raises:
            TypeError: no integer.
            ValueError: another stride than 4.
        """
        other = twin(self)
        other.config = replace(self.config, stride=stride)
        other.settings = replace(self.settings, stride=stride)
        return other


def _deconvolution(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return a 4x4 deconvolution of stride 2, which doubles the grid."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    nn.init.normal_(layer.weight, std=_DEVIATION)
    return layer
