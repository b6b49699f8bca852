"""The logic of the GPU's path, on the CPU: recording itself needs a GPU."""

import pytest
import torch

from sk_brainmae.network import fast
from sk_brainmae.training.cuda_graphs import RecordedNetwork


@pytest.fixture
def recordings(monkeypatch):
    """Stand in for the recorder; list the shapes of what was recorded."""
    shapes = []

    def record(module, samples, allow_unused_input):
        assert allow_unused_input
        shapes.append(tuple(samples[0].shape))
        return lambda *values: module(*values)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    return shapes


def draw(n_crops):
    generator = torch.Generator().manual_seed(n_crops)
    visible = torch.rand(n_crops, 3, 7, generator=generator) < 0.6
    return {"signal": torch.randn(n_crops, 3, 7, 5, generator=generator), "visible": visible}


def test_passes_are_recorded_once_for_each_shape_of_a_batch(network, recordings):
    recorded = RecordedNetwork(network)
    for n_crops in (4, 4, 3, 4, 3):
        recorded(**draw(n_crops))
    assert recordings == [(4, 3, 7, 5), (3, 3, 7, 5)]


def test_validation_is_not_recorded(network, recordings):
    with torch.no_grad():
        RecordedNetwork(network)(**draw(4))
    assert recordings == []


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Let the network take the paths that it takes on a GPU."""
    monkeypatch.setattr(fast, "visible_regions", lambda visible: None)
    monkeypatch.setattr(fast, "send_through_one_graph", lambda *_: None)
    monkeypatch.setattr(fast, "mlp_in_slices", lambda norm, mlp, x: mlp(norm(x)))


@pytest.mark.usefixtures("as_on_a_gpu")
def test_output_is_float32_and_close_to_that_of_full_precision(network, recordings):
    output = RecordedNetwork(network)(**draw(4))
    assert output.dtype == torch.float32
    exact = network(**draw(4))
    assert not torch.equal(output, exact)  # matrix products are in bfloat16
    torch.testing.assert_close(output, exact, rtol=0.1, atol=0.05)
    output.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_network_that_cannot_be_recorded_runs_all_the_same_and_says_so(network, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    with pytest.warns(UserWarning, match="without CUDA graphs.*capturing"):
        assert RecordedNetwork(network)(**draw(2)).shape == (2, 3, 7, 5)


def test_running_out_of_memory_while_recording_is_not_hidden(network, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    with pytest.raises(torch.OutOfMemoryError):
        RecordedNetwork(network)(**draw(2))


@pytest.mark.parametrize("blind", [False, True])
def test_all_tokens_and_a_softmax_a_window_equal_visible_tokens_and_one_graph(
    network, request, blind
):
    """What a GPU computes and what a processor computes, in values and gradients."""
    inputs = draw(4)
    inputs["visible"][0, 0] = torch.arange(7) == 2  # a single visible region
    if blind:
        inputs["visible"][1, 2] = False
    inputs["signal"].requires_grad_()
    leaves = [inputs["signal"], *network.parameters()]

    def values_and_gradients():
        output = network(**inputs)
        direction = torch.linspace(-1, 1, output.numel()).view_as(output)
        gradients = torch.autograd.grad((output * direction).sum(), leaves, allow_unused=True)
        return [output, *(g for g in gradients if g is not None)]

    ours = values_and_gradients()
    request.getfixturevalue("as_on_a_gpu")
    for one, other in zip(ours, values_and_gradients(), strict=True):
        assert (one - other).abs().max() <= 1e-5 * max(1, other.abs().max())
