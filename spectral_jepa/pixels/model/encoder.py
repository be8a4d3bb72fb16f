"""Picture encoders: ViT, a small strided convolutional net, ResNet-18; each maps normalised frames to one vector.

The ViT has the sizes and defaults of LeWorldModel's (arXiv 2603.19312): learned positions, a class token, pre-norm blocks
with LayerNorm eps 1e-12, truncated-normal weights of scale .02. The others serve two cores and the encoder ablation.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.config import ModelConfig

CPU_PIXELS = 2**19
PIXEL_MEAN, PIXEL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Pictures to the input of an encoder: (..., 3, S, S) or (..., S, S, 3) to (N, 3, S, S), all leading axes in one.

    Takes uint8 or floats in [0, 1]; subtracts ImageNet's mean and divides by its standard deviation, channel by channel.

    Parameters
    ----------
    image_size : int
        S, in pixels.

    Examples
    --------
    >>> Normalize(2)(torch.zeros(5, 2, 2, 3, dtype=torch.uint8))[0, :, 0, 0]  # -mean / std
    tensor([-2.1179, -2.0357, -1.8044])
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        scale = 1 / torch.tensor(PIXEL_STD).view(3, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", -torch.tensor(PIXEL_MEAN).view(3, 1, 1) * scale, persistent=False)

    def flat(self, frames: Tensor) -> Tensor:
        """All leading axes in one, channels first: a view, as a rule.

        Raises
        ------
        InputError
            Pictures of another size, or of integers that are not uint8.
        """
        size = self.image_size
        if frames.ndim >= 3 and frames.shape[-3:] == (size, size, 3):
            frames = frames.movedim(-1, -3)
        if frames.ndim < 3 or frames.shape[-3:] != (3, size, size):
            raise InputError(
                f"frames has shape {tuple(frames.shape)}, expected (..., 3, {size}, {size}) or (..., {size}, {size}, 3): "
                "resize the pictures or set image_size"
            )
        if frames.dtype != torch.uint8 and not frames.is_floating_point():
            raise InputError(f"frames has type {frames.dtype}, expected uint8 or floats in [0, 1]: convert it")
        return frames.reshape(-1, 3, size, size)

    def forward(self, frames: Tensor) -> Tensor:
        """Normalise; O(pixels); raises as :meth:`flat`."""
        pictures = self.flat(frames)
        scale = self.scale / 255 if pictures.dtype == torch.uint8 else self.scale
        # In place: on a CPU, fresh memory costs more than the arithmetic.
        normal = pictures.to(scale.dtype, copy=True)
        last = normal.movedim(1, -1)
        if last.is_contiguous():
            # By rows: a pixel's three channels alone are too short a loop, which takes three times as long.
            rows, width = last.flatten(2), self.image_size
            rows.mul_(scale.flatten().repeat(width)).add_(self.shift.flatten().repeat(width))
        else:
            normal.mul_(scale).add_(self.shift)
        return normal


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens: (B, N, W) -> (B, N, W); q, k, v and output with bias.

    Parameters
    ----------
    width : int
        W.
    heads : int
        Must divide W.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend; O(N^2 W + N W^2) a picture."""
        split = [
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        ]
        return self.output(F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Pre-norm transformer block: (B, N, W) -> (B, N, W).

    Parameters
    ----------
    width : int
        W; the MLP is 4 W wide.
    heads : int
        Must divide W.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.attention = SelfAttention(width, heads)
        self.hidden_norm = nn.LayerNorm(width, eps=1e-12)
        self.hidden = nn.Linear(width, 4 * width)
        self.output = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attention, then GELU layers, each added to its input."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens + self.output(F.gelu(self.hidden(self.hidden_norm(tokens))))


class VisionTransformer(nn.Module):
    """ViT read at its class token: (B, 3, S, S) -> (B, W); ViT-Tiny with patch 14 at the defaults of :class:`ModelConfig`.

    Parameters
    ----------
    config : ModelConfig
        ``image_size`` (S), ``patch_size`` and the three ``encoder_*`` are read.

    Notes
    -----
    About 3.4 GFLOP a frame at the published size, .6 of them in the attention. :meth:`tokens` gives all tokens, the class
    token first.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, n_patches = config.encoder_width, (config.image_size // config.patch_size) ** 2
        self.width = width
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, n_patches + 1, width))
        self.patches = nn.Conv2d(3, width, config.patch_size, config.patch_size)
        self.blocks = nn.ModuleList(EncoderBlock(width, config.encoder_heads) for _ in range(config.encoder_depth))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def tokens(self, frames: Tensor) -> Tensor:
        """All tokens after the final LayerNorm: (B, 3, S, S) -> (B, 1 + patches, W)."""
        patches = self.patches(frames).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(patches), -1, -1).to(patches.dtype), patches], 1) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward(self, frames: Tensor) -> Tensor:
        """The class token after the final LayerNorm."""
        return self.tokens(frames)[:, 0]


class ConvEncoder(nn.Module):
    """Strided 3x3 convolutions down to about 4x4, flattened into a Linear: (B, 3, S, S) -> (B, 4 x encoder_width).

    Nothing is pooled over the picture: where things are is what a world model must keep.

    Parameters
    ----------
    config : ModelConfig
        ``image_size`` (S) and ``encoder_width`` are read.

    Notes
    -----
    7 MFLOP a frame at 64 px and width 32. Channels are width/2, width, then 2 width.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        base, n_layers = config.encoder_width, max(1, int(math.log2(config.image_size / 4)))
        channels = [3, *([max(1, base // 2), base] + [2 * base] * n_layers)[:n_layers]]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), _MapGelu()]
        side = config.image_size
        for _ in range(n_layers):
            side = (side + 1) // 2
        self.width = 4 * base
        self.convolutions = nn.Sequential(*layers)
        self.output = nn.Linear(channels[-1] * side**2, self.width)
        for module in self.convolutions:
            if isinstance(module, nn.Conv2d):
                # torch's default scale loses two thirds of the signal a layer.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, frames: Tensor) -> Tensor:
        """Encode."""
        return self.output(self.convolutions(frames).flatten(1))


class _MapGelu(nn.Module):
    """GELU of maps (B, C, H, W) with the channels last in memory, as pictures do: twice as fast where torch sees so."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.gelu(maps.movedim(1, -1)).movedim(-1, 1)


class PooledConvEncoder(nn.Module):
    """Convolutions read three ways, flattened, as keypoints and pooled: (B, 3, S, S) -> (B, 8 x encoder_width).

    The flattened map and the keypoints tell where things are; the mean and the maximum over the picture tell what there is
    wherever it is, such as which way a block is turned, which a flattened map would have to learn anew at each place.

    Parameters
    ----------
    config : ModelConfig
        ``image_size`` (S) and ``encoder_width`` are read.

    Notes
    -----
    33 MFLOP a frame at 64 px and width 32: patches of 4 x 4, then 3 x 3 convolutions with BatchNorm, the maps S / 8 wide.
    Keypoints are the means of x and y under the softmax of a map (arXiv 1504.00702).
    """

    across: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        base, side = config.encoder_width, math.ceil(config.image_size // 4 / 2)
        points, deep = max(1, base // 2), 4 * base
        self.width = 8 * base
        self.convolutions = nn.Sequential(
            *_normed(3, 2 * base, 4, 4, 0), *_normed(2 * base, deep, 3, 2, 1), *_normed(deep, deep, 3, 1, 1)
        )
        self.flat = nn.Sequential(*_normed(deep, 2 * base, 3, 2, 1), nn.Flatten())
        self.points = nn.Conv2d(deep, points, 1)
        self.output = nn.Linear(2 * base * math.ceil(side / 2) ** 2 + 2 * points + 2 * deep, self.width)
        self.register_buffer("across", torch.linspace(-1, 1, side), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Encode."""
        maps = self.convolutions(frames)
        heat = self.points(maps).flatten(2).softmax(-1).unflatten(-1, maps.shape[-2:])
        x, y = (heat.sum(axis) @ self.across.to(heat) for axis in (2, 3))
        return self.output(torch.cat([self.flat(maps), x, y, maps.mean((2, 3)), maps.amax((2, 3))], 1))


def _normed(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm and a shortcut, the unit of ResNet-18 and 34 (arXiv 1512.03385).

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Of the first convolution; the shortcut is a 1x1 convolution where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        """Add the residual and rectify."""
        inner = F.relu(self.first_norm(self.first(maps)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(maps))


class ResNet18(nn.Module):
    """ResNet-18 with the ImageNet stem, averaged over the picture: (B, 3, S, S) -> (B, 512); 11,176,512 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 512
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = [64, 64, 128, 256, 512]
        blocks: list[nn.Module] = []
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            blocks += [ResidualBlock(inputs, outputs, 1 if stage == 0 else 2), ResidualBlock(outputs, outputs, 1)]
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        """Encode."""
        return self.blocks(self.stem(frames)).mean((2, 3))


def encode_pictures(encoder: nn.Module, normalize: nn.Module, pictures: Tensor) -> Tensor:
    """Normalise pictures and run an encoder, on a CPU a few pictures at a time where they do not see each other.

    Parameters
    ----------
    encoder : VisionTransformer, ConvEncoder, PooledConvEncoder or ResNet18
    normalize : Normalize
        Or any other module that gives the encoder's input.
    pictures : Tensor (N, 3, S, S)
        As :meth:`Normalize.flat` has them.

    Returns
    -------
    Tensor (N, width)
        What one call of the encoder gives, up to rounding.

    Notes
    -----
    Pieces of 2^19 pixels keep activations in the cache, and below the size from which the C library gives memory back after
    each use: a third off a step of the ``small`` preset. BatchNorm needs the whole batch.

    Examples
    --------
    Three pictures of 512 x 512 are more than a piece: they go through the encoder two at a time.

    >>> seen = []
    >>> class MeanColour(nn.Module):
    ...     def forward(self, pictures):
    ...         seen.append(len(pictures))
    ...         return pictures.mean((2, 3))
    >>> encode_pictures(MeanColour(), nn.Identity(), torch.ones(3, 3, 512, 512)).tolist(), seen
    ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [2, 1])
    """
    if pictures.device.type != "cpu" or sees_the_batch(encoder):
        return encoder(normalize(pictures))
    pieces = pictures.split(max(1, CPU_PIXELS // pictures.shape[-1] ** 2))
    return torch.cat([encoder(normalize(piece)) for piece in pieces])


def sees_the_batch(encoder: nn.Module) -> bool:
    """Whether what an encoder makes of a picture depends, while it trains, on those beside it: it has a BatchNorm.

    Parameters
    ----------
    encoder : torch.nn.Module

    Returns
    -------
    bool

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import changed, preset
    >>> [sees_the_batch(make_encoder(changed(preset("tiny"), {"model.encoder": kind}).model)) for kind in ("conv", "pooled")]
    [False, True]
    """
    # By what it keeps, not by its class: under data parallelism a JointBatchNorm, no BatchNorm2d, stands in its place.
    return any(hasattr(module, "running_mean") for module in encoder.modules())


def make_encoder(config: ModelConfig) -> VisionTransformer | ConvEncoder | PooledConvEncoder | ResNet18:
    """The encoder that a configuration asks for; its ``width`` is the length of the vector it returns.

    Parameters
    ----------
    config : ModelConfig

    Returns
    -------
    VisionTransformer, ConvEncoder, PooledConvEncoder or ResNet18
        Its weights are drawn from torch's global stream: see :func:`spectral_jepa._streams.seeded_weights`.

    Examples
    --------
    The published ViT-Tiny.

    >>> with torch.device("meta"):  # shapes only
    ...     encoder = make_encoder(ModelConfig())
    >>> encoder.width, sum(weight.numel() for weight in encoder.parameters())
    (192, 5501376)
    """
    if config.encoder == "resnet18":
        return ResNet18()
    if config.encoder == "pooled":
        return PooledConvEncoder(config)
    return VisionTransformer(config) if config.encoder == "vit" else ConvEncoder(config)
