"""The published network of Simple Pose: stacked hourglasses with identity mapping, under the published names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALES = 5  # grids of an hourglass, each of half the cells of the one before
_SLOPE = 0.01  # of leaky ReLU below 0
_DILATIONS = (3, 3, 4, 4, 5, 5)
_SQUEEZE = 16  # channels for each of the narrow layer of a squeeze-and-excitation block


class Unit(nn.Module):
    """Convolution, batch norm or a bias, leaky ReLU or none."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, norm: bool = True, active: bool = True, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=not norm)
        self.bn = nn.BatchNorm2d(outputs) if norm else None
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return functional.leaky_relu(x, _SLOPE) if self.active else x


class Residual(nn.Module):
    """Bottleneck of 1x1, 3x3 and 1x1 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.convBlock = nn.Sequential(  # a name of the published weights
            nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.LeakyReLU(_SLOPE),
            nn.Conv2d(middle, middle, 3, padding=1, bias=False), nn.BatchNorm2d(middle), nn.LeakyReLU(_SLOPE),
            nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.skipConv = (
            None
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        shortcut = x if self.skipConv is None else self.skipConv(x)
        return functional.leaky_relu(self.convBlock(x) + shortcut, _SLOPE)


class Stem(nn.Module):
    """Images to features of a quarter of the pixels each way: half from convolutions, half from dilated ones on top."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.res1 = Residual(64, half)
        self.res2 = Residual(half, half)
        self.dilation = nn.Sequential(*(Unit(half, half, dilation=dilation) for dilation in _DILATIONS))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, channels, H / 4, W / 4)."""
        x = functional.leaky_relu(self.bn1(self.conv1(images)), _SLOPE)
        x = self.res2(functional.max_pool2d(self.res1(x), 2))
        return torch.cat([x, self.dilation(x)], dim=1)


class Hourglass(nn.Module):
    """Four times down and up again; each level below has more channels."""

    def __init__(self, channels: int, increase: int) -> None:
        super().__init__()
        self.hg = nn.ModuleList()
        for level in range(SCALES - 1):
            here, below = channels + level * increase, channels + (level + 1) * increase
            units: list[nn.Module] = [
                Residual(here, here),
                Residual(here, below),
                Residual(below, here),
                Unit(here, here),
            ]
            if level == SCALES - 2:
                units.append(Residual(below, below))
            self.hg.append(nn.ModuleList(units))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, h, w) -> features of each scale, the finest first: (N, C + j * increase, h / 2**j, w / 2**j)."""
        coarser: list[Tensor] = []
        finest = self._level(0, x, coarser)
        return [finest, *reversed(coarser)]

    def _level(self, level: int, x: Tensor, coarser: list[Tensor]) -> Tensor:
        units: Any = self.hg[level]
        low: Tensor = units[1](functional.max_pool2d(x, 2))
        low = units[4](low) if level == SCALES - 2 else self._level(level + 1, low, coarser)
        coarser.append(low)
        up = functional.interpolate(units[2](low), scale_factor=2.0, mode="nearest")
        result: Tensor = units[0](x) + units[3](up)
        return result


class SqueezeExcite(nn.Module):
    """Weights channels by what the whole image shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = channels // _SQUEEZE
        self.fc = nn.Sequential(
            nn.Linear(channels, middle), nn.LeakyReLU(_SLOPE), nn.Linear(middle, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        weights: Tensor = self.fc(x.mean(dim=(2, 3)))
        return x * weights[:, :, None, None]


class Features(nn.Module):
    """Features of each scale on their way to the maps."""

    def __init__(self, channels: int, increase: int) -> None:
        super().__init__()
        self.before_regress = nn.ModuleList(
            nn.Sequential(Unit(channels + j * increase, channels), Unit(channels, channels), SqueezeExcite(channels))
            for j in range(SCALES)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features of each scale -> (N, channels, h / 2**j, w / 2**j) each."""
        return [block(x) for block, x in zip(self.before_regress, features, strict=True)]


class Merge(nn.Module):
    """1x1 convolution of a stack's results for the next stack."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Unit(inputs, outputs, 1, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        return self.conv(x)  # type: ignore[no-any-return]


class StackedHourglass(nn.Module):
    """Stacks of hourglasses that predict the maps at five scales each (Simple Pose, section 3.2; Part B's weights).

    Args:
        stacks: number of hourglasses.
        channels: of the features at the finest scale.
        increase: more channels at each coarser scale.
        maps: number of maps.
    """

    def __init__(self, *, stacks: int, channels: int, increase: int, maps: int) -> None:
        super().__init__()
        widths = [channels + j * increase for j in range(SCALES)]
        self.pre = Stem(channels)
        self.hourglass = nn.ModuleList(Hourglass(channels, increase) for _ in range(stacks))
        self.features = nn.ModuleList(Features(channels, increase) for _ in range(stacks))
        self.outs = nn.ModuleList(
            nn.ModuleList(Unit(channels, maps, 1, norm=False, active=False) for _ in widths) for _ in range(stacks)
        )
        self.merge_features = nn.ModuleList(
            nn.ModuleList(Merge(channels, width) for width in widths) for _ in range(stacks - 1)
        )
        self.merge_preds = nn.ModuleList(
            nn.ModuleList(Merge(maps, width) for width in widths) for _ in range(stacks - 1)
        )

    def forward(self, images: Tensor, *, every_scale: bool) -> list[list[Tensor]]:
        """Compute the maps of normalised images.

        Args:
            images: (N, 3, H, W) BGR 0..1; H and W multiples of 64.
            every_scale: whether to return all maps, else those of the last stack at the finest scale alone.

        Returns:
            Maps of each stack and scale, (N, maps, H / 4 / 2**j, W / 4 / 2**j).
        """
        x = self.pre(images)
        carried: list[Tensor] = []  # added to the features of the next stack, a tensor a scale
        stacks, last = [], len(self.hourglass) - 1
        parts: Any = zip(self.hourglass, self.features, self.outs, strict=True)
        for s, (hourglass, features, heads) in enumerate(parts):
            own = hourglass(x)
            if carried:
                own = [ours + more for ours, more in zip(own, carried, strict=True)]
            if s == last and not every_scale:
                return [[heads[0](features.before_regress[0](own[0]))]]
            own = features(own)
            maps = [head(feature) for head, feature in zip(heads, own, strict=True)]
            stacks.append(maps)
            if s < last:
                from_maps: Any = self.merge_preds[s]
                from_features: Any = self.merge_features[s]
                carried = [from_maps[j](maps[j]) + from_features[j](own[j]) for j in range(SCALES)]
                x = x + carried[0]
        return stacks
