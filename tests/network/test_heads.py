import pytest
import torch

from sk_brainmae.network import BrainMAE, PredictionNetwork

N, TAU, DIM = 4, 5, 8


def make(reads_cls, n_outputs=3, n_layers=2):
    torch.manual_seed(0)
    net = PredictionNetwork(BrainMAE(N, TAU, DIM, 2, n_layers, "static"), n_outputs, reads_cls)
    torch.nn.init.normal_(net.head.weight)
    torch.nn.init.normal_(net.head.bias)
    return net


def draw():
    """Return crops of five windows, all visible, of which each owns others."""
    signal = torch.randn(2, 5, N, TAU, generator=torch.Generator().manual_seed(1))
    own = torch.tensor([[False, True, True, False, False], [True, False, False, False, False]])
    return signal, torch.ones(2, 5, N, dtype=torch.bool), own


def test_state_mean_is_read_by_a_linear_map_of_the_mean_of_the_own_states():
    net, (signal, visible, own) = make(False), draw()
    states = net.encoder.encode(signal, visible)[0]
    pooled = torch.stack([(states[0, 1] + states[0, 2]) / 2, states[1, 0]])
    expected = pooled @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(signal, visible, own), expected, rtol=1e-5, atol=1e-5)


def test_state_mean_reads_own_windows_only():
    """Without a sequence encoder nothing but the head could mix windows."""
    net, (signal, visible, own) = make(False, n_layers=0), draw()
    signal.requires_grad_()
    (gradient,) = torch.autograd.grad(net(signal, visible, own).square().sum(), signal)
    assert gradient[own].all()
    assert not gradient[~own].any()


def test_context_windows_inform_the_own_ones_through_the_sequence():
    net, (signal, visible, own) = make(False), draw()
    signal.requires_grad_()
    (gradient,) = torch.autograd.grad(net(signal, visible, own).square().sum(), signal)
    assert gradient.all()


def test_cls_is_read_by_a_linear_map_whatever_is_own():
    net, (signal, visible, own) = make(True), draw()
    cls = net.encoder.encode(signal, visible)[1]
    expected = cls @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(signal, visible, own), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net(signal, visible, ~own), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reads_cls", [False, True])
def test_padded_windows_do_not_change_the_outputs(reads_cls):
    net, (signal, visible, own) = make(reads_cls), draw()
    padded = torch.cat([signal, torch.full((2, 2, N, TAU), torch.nan)], dim=1)
    nothing = torch.zeros(2, 2, N, dtype=torch.bool)
    longer = torch.cat([visible, nothing], dim=1), torch.cat([own, nothing[..., 0]], dim=1)
    torch.testing.assert_close(
        net(padded, *longer), net(signal, visible, own), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("reads_cls", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_head_starts_at_zero_and_learns(reads_cls, n_outputs):
    net = PredictionNetwork(BrainMAE(N, TAU, DIM, 2, 1, "static"), n_outputs, reads_cls)
    outputs = net(*draw())
    assert outputs.shape == (2, n_outputs)
    assert not outputs.any()
    (gradient,) = torch.autograd.grad(outputs.sum(), net.head.weight)
    assert gradient.any()


def test_decoder_takes_no_part_in_prediction():
    net = make(False)
    net(*draw()).square().sum().backward()
    used = {name for name, p in net.named_parameters() if p.grad is not None}
    unused = {name for name, _ in net.named_parameters()} - used
    assert unused == {n for n, _ in net.named_parameters() if n.startswith("encoder.decode_")}
