"""Networks outside PyTorch's eager mode: torch.compile, torch.export, ONNX; what they give feeds the decoder."""

import numpy as np
import pytest
import torch

import personlab
from personlab import DecodeOptions
from personlab.nn import ModelConfig, Outputs, PersonLab, export_onnx, export_program

NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")

# torch's exporter warns of a deprecation in its own code
pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")


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
    model = PersonLab(ModelConfig(width=0.5, **config)).eval()
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 255


def run(model, images):
    with torch.no_grad():
        return [field for field in model(images) if field is not None]


REFINING = {"stride": 8, "norm": "none", "refine_steps": 1, "intermediate": True}


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export_onnx(network(**REFINING), path)
    return path


@pytest.fixture(scope="module")
def session(onnx_file):
    return pytest.importorskip("onnxruntime").InferenceSession(onnx_file, providers=["CPUExecutionProvider"])


def test_onnx_names_fields_and_carries_the_configuration(onnx_file, session):
    assert [node.name for node in session.get_outputs()] == list(NAMES)
    (images,) = session.get_inputs()
    assert (images.name, images.shape) == ("images", ["batch", 3, "height", "width"])
    config = session.get_modelmeta().custom_metadata_map["personlab.config"]
    assert ModelConfig.from_json(config) == network(**REFINING).config
    assert [path.name for path in onnx_file.parent.iterdir()] == ["network.onnx"]  # no second file with the weights


@pytest.mark.parametrize("shape", [(1, 3, 65, 97), (3, 3, 64, 50), (1, 3, 10, 33), (2, 3, 1, 1)])
def test_onnx_equals_torch_at_any_size(session, shape):
    images = pictures(*shape)
    expected = run(network(**REFINING), images)
    for ours, theirs in zip(expected, session.run(None, {"images": images.numpy()}), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_onnx_outputs_feed_the_decoder_as_they_are(session):
    heatmaps, short, mid, segmentation, long = session.run(None, {"images": pictures(2, 3, 65, 97).numpy()})
    options = DecodeOptions(peak_threshold=1e-3, min_score=0, max_poses=3)  # noise votes for no place in particular
    people = personlab.decode_poses(heatmaps, short, mid, stride=8, options=options)
    assert len(people) == 2
    assert len(people[0]) == 3
    masks = personlab.decode_masks(people[0], segmentation[0], long[0], short_offsets=short[0], stride=8, size=(65, 97))
    assert masks.shape == (3, 65, 97)


def test_onnx_of_one_size_without_masks(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network(masks=False).train()  # what is exported is not its training mode: batch norm would tell
    export_onnx(model, tmp_path / "one.onnx", size=(50, 33))
    assert model.training
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_outputs()] == list(NAMES[:3])
    assert session.get_inputs()[0].shape == [1, 3, 33, 50]
    images = pictures(1, 3, 33, 50)
    for ours, theirs in zip(run(model.eval(), images), session.run(None, {"images": images.numpy()}), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_program_of_any_size():
    model = network(intermediate=True).train()
    program = export_program(model).module()
    assert model.training
    for shape in ((1, 3, 33, 50), (3, 3, 64, 17)):
        outputs = program(pictures(*shape))
        assert isinstance(outputs, Outputs)
        assert outputs.intermediate is None
        for ours, theirs in zip(run(model.eval(), pictures(*shape)), outputs, strict=False):
            torch.testing.assert_close(theirs, ours)
        model.train()


def test_sizes_are_checked():
    with pytest.raises(ValueError, match=r"size\[0\]: expected an integer from 1"):
        export_program(network(), size=(0, 33))
    with pytest.raises(TypeError, match=r"size: expected \(W, H\)"):
        export_program(network(), size=33)


def test_compiled_training_equals_eager():
    torch._dynamo.reset()
    model = network(refine_steps=1, intermediate=True, norm="none").train()
    losses, gradients = [], []
    for step in (model, torch.compile(model, backend="aot_eager", fullgraph=True)):
        outputs = step(pictures(2, 3, 33, 49))
        loss = sum(field.square().mean() for field in (*outputs[:5], *outputs.intermediate[:5]))
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(losses[1], losses[0])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-3)
