"""Writes networks of ours as Google publishes its own: tfjs graph models, down to the names of nodes."""

import base64
import json

import numpy as np
import torch

from personlab.nn import ModelConfig, PersonLab

# (output, its weights, our head) of BodyPix and of PoseNet.
BODYPIX = (
    ("float_short_offsets", "offset_2", "short_offsets"),
    ("float_segments", "segment_2", "segmentation"),
    ("float_part_heatmaps", "part_heatmap_2", None),
    ("float_long_offsets", "embedding_2", "long_offsets"),
    ("float_heatmaps", "heatmap_2", "heatmaps"),
    ("MobilenetV1/displacement_fwd_2/BiasAdd", "displacement_fwd_2", "forward"),
    ("MobilenetV1/displacement_bwd_2/BiasAdd", "displacement_bwd_2", "backward"),
)
POSENET = tuple(
    (f"MobilenetV1/{weights}/BiasAdd", weights, head)
    for _, weights, head in BODYPIX
    if head not in (None, "segmentation", "long_offsets")
)


def random_model(*, width=0.5, stride=16, masks=True, seed=0):
    """A network of random weights whose outputs differ from cell to cell."""
    torch.manual_seed(seed)
    model = PersonLab(ModelConfig(width=width, stride=stride, masks=masks, norm="none")).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or name.startswith("heads"):
                parameter.normal_(std=0.2)
    return model


class TfjsWriter:
    """The nodes and weights of a graph model, as they are added."""

    def __init__(self, *, stored="float32", folded=True):
        self.stored, self.folded = stored, folded
        self.nodes, self.manifest, self.content = [], [], b""
        self.node("sub_2", "Placeholder")

    def node(self, name, operation, *inputs, **attributes):
        self.nodes.append({"name": name, "op": operation, "input": list(inputs), "attr": attributes})
        return name

    def constant(self, name, array):
        array = np.asarray(array, np.float32)
        entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if self.stored == "float16":
            entry["quantization"] = {"dtype": "float16"}
            self.content += array.astype("<f2").tobytes()
        elif self.stored in ("uint8", "uint16"):
            steps = np.iinfo(self.stored).max
            low, high = float(array.min()), float(array.max())
            scale = (high - low) / steps or 1.0
            entry["quantization"] = {"min": low, "scale": scale, "dtype": self.stored}
            self.content += np.round((array - low) / scale).astype(np.dtype(self.stored).newbyteorder("<")).tobytes()
        else:
            self.content += array.astype("<f4").tobytes()
        self.manifest.append(entry)
        return self.node(name, "Const")

    def convolution(self, output, name, source, weight, bias, *, stride=1, dilation=1, depthwise=False, relu6=True):
        """One layer; `weight` (O, I / groups, kh, kw)."""
        hwio = weight.transpose(2, 3, 0, 1) if depthwise else weight.transpose(2, 3, 1, 0)
        if not self.folded:  # as batch norm: scale 2, shift such that the sum is the same
            hwio = hwio / 2
        values = self.constant(f"MobilenetV1/{name}/weights", hwio)
        spread = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        # Google's converter writes the dilation at the front.
        dilations = {"list": {"i": [str(dilation), str(dilation), "1", "1"]}}
        same = {"s": base64.b64encode(b"SAME").decode()}
        operation = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        made = self.node(f"{output}/conv", operation, source, values, strides=spread, dilations=dilations, padding=same)
        if self.folded:
            made = self.node(output, "BiasAdd", made, self.constant(f"MobilenetV1/{name}/Conv2D_bias", bias))
        else:
            ones = np.ones_like(bias)
            numbers = {"gamma": ones, "beta": bias, "mean": 0 * bias, "variance": 0.25 * ones - 1e-3}
            inputs = [self.constant(f"MobilenetV1/{name}/{key}", value) for key, value in numbers.items()]
            made = self.node(output, "FusedBatchNormV3", made, *inputs, epsilon={"f": 1e-3})
        return self.node(f"{output}/Relu6", "Relu6", made) if relu6 else made

    def write(self, folder, *, shards=1, name="model-stride16.json"):
        folder.mkdir(exist_ok=True)
        paths = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
        length = -(-len(self.content) // shards)
        for i, path in enumerate(paths):
            (folder / path).write_bytes(self.content[i * length : (i + 1) * length])
        model = {
            "format": "graph-model",
            "modelTopology": {"node": self.nodes, "library": {}, "versions": {}},
            "weightsManifest": [{"paths": paths, "weights": self.manifest}],
        }
        (folder / name).write_text(json.dumps(model))
        return folder


def tfjs_of(model, *, stored="float32", folded=True):
    """The graph model of a network of ours."""
    writer = TfjsWriter(stored=stored, folded=folded)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    convs = {"stem": ("Conv2d_0", model.backbone.stem.conv)}
    for i, block in enumerate(model.backbone.blocks):
        for half in ("depthwise", "pointwise"):
            convs[f"blocks.{i}.{half}"] = (f"Conv2d_{i + 1}_{half}", getattr(block, half).conv)
    tensor = "sub_2"
    for part, (name, conv) in convs.items():
        weight, bias = (state[f"backbone.{part}.conv.{kind}"] for kind in ("weight", "bias"))
        tensor = writer.convolution(
            f"MobilenetV1/{name}/out", name, tensor, weight, bias, stride=conv.stride[0], dilation=conv.dilation[0],
            depthwise=part.endswith("depthwise"),
        )  # fmt: skip
    for output, weights, head in BODYPIX if model.config.masks else POSENET:
        writer.convolution(output, weights, tensor, *_theirs(state, head), relu6=False)
    if model.config.masks:  # body parts end in more than a convolution
        limit = writer.constant("clip_by_value/y", 0.0)
        writer.node("float_part_offsets", "Maximum", "float_part_heatmaps", limit)
    return writer


def _theirs(state, head):
    """Weight and bias of a head with all dy before all dx."""
    if head is None:
        return np.zeros((24, *state["heads.heatmaps.weight"].shape[1:]), np.float32), np.zeros(24, np.float32)
    ours = "mid_offsets" if head in ("forward", "backward") else head
    pair = []
    for kind in ("weight", "bias"):
        values = state[f"heads.{ours}.{kind}"]
        if ours == "mid_offsets":
            values = np.split(values, 2)[head == "backward"]
        if ours.endswith("offsets"):
            values = np.concatenate([values[1::2], values[0::2]])
        pair.append(values)
    return pair
