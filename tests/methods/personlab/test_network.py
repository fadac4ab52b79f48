"""The network as a whole: shapes of its fields, output strides, training, types, other skeletons."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import personlab
from personlab import Skeleton
from personlab.nn import ModelConfig, PersonLab, to_fields

TRIANGLE = Skeleton(
    names=("top", "left", "right"), edges=((0, 1), (1, 2), (2, 0), (0, 2)), sigmas=(0.1,) * 3, flip=(0, 2, 1)
)
POINTS = Skeleton(names=("left", "right"), edges=(), sigmas=(0.1, 0.1), flip=(1, 0))


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Threads cost more than they give on images this small, most of all beside other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(**config):
    """A small network whose outputs are large enough to compare, in evaluation mode."""
    torch.manual_seed(0)
    model = PersonLab(ModelConfig(**({"width": 0.5} | config))).eval()
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 255


def run(model, images):
    with torch.no_grad():
        return [field for field in model(images) if field is not None]


# --- Shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("height", "width"), [(65, 97), (64, 50), (17, 3), (1, 1)])
def test_fields_of_any_size(height, width, stride):
    model = network(stride=stride)
    with torch.no_grad():
        outputs = model(pictures(2, 3, height, width))
    h, w = -(-height // stride), -(-width // stride)
    assert outputs.heatmaps.shape == (2, 17, h, w)
    assert outputs.short_offsets.shape == (2, 17, 2, h, w)
    assert outputs.mid_offsets.shape == (2, 32, 2, h, w)
    assert outputs.segmentation.shape == (2, 1, h, w)
    assert outputs.long_offsets.shape == (2, 17, 2, h, w)
    assert outputs.intermediate is None
    fields = to_fields(outputs, stride=stride, image_size=(200, 100))
    assert fields.image_size == (200, 100)
    assert fields.heatmaps.dtype == np.float32
    np.testing.assert_array_equal(fields[1].mid_offsets, outputs.mid_offsets[1])
    if (height, width) == (65, 97):
        assert fields.input_size == (width, height)


@pytest.mark.parametrize("skeleton", [TRIANGLE, POINTS], ids=["triangle", "points"])
@pytest.mark.parametrize("refine_steps", [0, 1])
def test_any_skeleton(skeleton, refine_steps):
    model = network(skeleton=skeleton, refine_steps=refine_steps)
    images = pictures(1, 3, 33, 49)
    with torch.no_grad():
        outputs = model(images)
    k, e = skeleton.n_keypoints, skeleton.n_edges
    assert outputs.heatmaps.shape == (1, k, 3, 4)
    assert outputs.mid_offsets.shape == (1, 2 * e, 2, 3, 4)
    assert outputs.long_offsets.shape == (1, k, 2, 3, 4)
    poses = personlab.decode_poses(*outputs[:3], stride=16, skeleton=skeleton)
    assert poses[0].keypoints.shape[1:] == (k, 2)


def test_without_masks():
    model = network(masks=False, refine_steps=1)
    with torch.no_grad():
        outputs = model(pictures(1, 3, 33, 49))
    assert outputs.segmentation is None
    assert outputs.long_offsets is None
    assert to_fields(outputs, stride=16).segmentation is None
    assert {name.split(".")[1] for name in model.state_dict() if name.startswith("heads.")} == {
        "heatmaps",
        "short_offsets",
        "mid_offsets",
    }


@pytest.mark.parametrize("shape", [(3, 33, 49), (1, 33, 49, 3), (1, 4, 33, 49)])
def test_wrong_pictures(shape):
    with pytest.raises(ValueError, match=r"images: expected shape \(N, 3, H, W\), got \(" + str(shape[0])):
        network()(torch.zeros(shape))


def test_pictures_of_a_batch_do_not_see_each_other():
    model, images = network(refine_steps=1), pictures(3, 3, 49, 65)
    together = run(model, images)
    for n in range(3):
        for alone, field in zip(run(model, images[n : n + 1]), together, strict=True):
            torch.testing.assert_close(alone[0], field[n], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("normalization", "black", "white"),
    [("minus_one_to_one", [-1, -1, -1], [1, 1, 1]), ("imagenet", [-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.64])],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_pixels_are_normalized_inside(normalization, black, white, kind):
    model = network(normalization=normalization)
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    images = torch.zeros(1, 3, 1, 2, dtype=kind)
    images[..., 1] = 255
    run(model, images)
    np.testing.assert_allclose(seen[0][0, :, 0], np.stack([black, white], 1), atol=1e-4)


# --- Output strides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"width": 1.0}, {"backbone": "resnet50", "width": 1.0}], ids=str)
def test_strides_share_weights_and_agree_where_their_cells_meet(config):
    model = network(**config)
    finer = model.at_stride(8)
    assert (model.config.stride, finer.config.stride) == (16, 8)
    assert not finer.training
    own, shared = model.state_dict(keep_vars=True), finer.state_dict(keep_vars=True)
    assert list(own) == list(shared)
    assert all(own[name] is shared[name] for name in own)
    for coarse, fine in zip(run(model, pictures(1, 3, 33, 49)), run(finer, pictures(1, 3, 33, 49)), strict=True):
        scale = coarse.abs().max().item()
        torch.testing.assert_close(fine[..., ::2, ::2], coarse, atol=1e-5 * scale, rtol=0)


def test_what_happens_to_one_stride_happens_to_the_other():
    model = network()
    finer = model.at_stride(8).train()
    assert not model.training
    finer(pictures(2, 3, 33, 49))  # moves the running statistics
    assert model.backbone.stem.norm.num_batches_tracked == 1
    other = network()
    torch.nn.init.ones_(other.heads.heatmaps.bias)
    model.load_state_dict(other.state_dict())
    assert (finer.heads.heatmaps.bias == 1).all()
    model.double()
    assert finer.heads.heatmaps.bias.dtype == finer.pixel_mean.dtype == torch.float64
    run(finer, pictures(1, 3, 33, 49))
    with pytest.raises(ValueError, match="stride: expected one of 8, 16, got 4"):
        model.at_stride(4)


@pytest.mark.parametrize("config", [{"stride": 8}, {"backbone": "resnet50", "width": 1.0}], ids=str)
def test_the_grid_lies_corner_on_corner(config):
    # With every kernel mirrored, a mirrored picture gives mirrored fields: only where cells are placed evenly.
    model = network(**config)
    images = pictures(1, 3, 65, 49)
    expected = run(model, images)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(module.weight.flip(2, 3))
    for field, mirrored in zip(expected, run(model, images.flip(2, 3)), strict=True):
        torch.testing.assert_close(mirrored.flip(-1, -2), field, atol=1e-5 * field.abs().max().item(), rtol=0)


# --- Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_gradients_reach_every_parameter(norm):
    torch.manual_seed(0)
    model = PersonLab(ModelConfig(width=0.5, norm=norm, refine_steps=2, intermediate=True))
    outputs = model(pictures(2, 3, 65, 81))
    loss = torch.zeros(())
    for fields in (outputs, outputs.intermediate):
        loss = loss + sum((field - torch.randn_like(field)).square().mean() for field in fields[:5])
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_intermediate_heads_speak_in_training_alone():
    model = network(intermediate=True, refine_steps=1, stride=8).train()
    images = pictures(2, 3, 33, 49)
    outputs = model(images)
    for field, intermediate in zip(outputs[:5], outputs.intermediate[:5], strict=True):
        assert field.shape == intermediate.shape
    assert outputs.intermediate.intermediate is None
    assert model.eval()(images).intermediate is None
    assert network().train()(images).intermediate is None


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_training_starts_at_the_priors(norm):
    torch.manual_seed(0)
    outputs = PersonLab(ModelConfig(width=0.5, norm=norm))(pictures(2, 3, 65, 97))
    assert -4 < outputs.heatmaps.min() <= outputs.heatmaps.max() < -2
    assert -2 < outputs.segmentation.mean() < -1
    for offsets in (outputs.short_offsets, outputs.mid_offsets, outputs.long_offsets):
        assert offsets.abs().max() < 1


def test_a_few_steps_learn():
    torch.manual_seed(0)
    model = PersonLab(ModelConfig(width=0.5))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    images, wanted = pictures(2, 3, 33, 33), (torch.rand(2, 17, 3, 3) > 0.5).float()
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images).heatmaps, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# --- Types ------------------------------------------------------------------------------------------------------------


def test_autocast_keeps_offsets_in_32_bits():
    model, images = network(refine_steps=1), pictures(1, 3, 49, 65)
    expected = run(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = run(model, images)
    for field, wanted in zip(narrow, expected, strict=True):
        assert field.dtype == torch.float32
        torch.testing.assert_close(field, wanted, atol=0.05 * wanted.abs().max().item(), rtol=0)


def test_a_network_of_16_bits():
    model, images = network(), pictures(1, 3, 49, 65)
    expected = run(model, images)
    for field, wanted in zip(run(model.bfloat16(), images), expected, strict=True):
        assert field.dtype == torch.bfloat16
        torch.testing.assert_close(field.float(), wanted, atol=0.1 * wanted.abs().max().item(), rtol=0)
    fields = to_fields(model(images), stride=16)
    assert fields.long_offsets.dtype == np.float32


def test_the_package_imports_without_torch():
    code = "import sys, personlab; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
