import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.network import BrainMAE, positions

every_attention = pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
seeded = settings(max_examples=25, deadline=None, derandomize=True)
N, TAU, DIM, HEADS = 6, 5, 8, 2


def make(attention="static", n_regions=N, n_layers=2, seed=0):
    """Return a network with weights large enough for uneven attention."""
    torch.manual_seed(seed)
    net = BrainMAE(n_regions, TAU, DIM, HEADS, n_layers, attention)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return net


def draw(shape=(2, 4, N), share=0.6, seed=1):
    """Return windows (B, n, N, tau) of which each shows its first region, and what is visible."""
    g = torch.Generator().manual_seed(seed)
    visible = torch.rand(shape, generator=g) < share
    visible[..., 0] = True
    return torch.randn(*shape, TAU, generator=g), visible


def normalise(x, w, name):
    centred = x - x.mean(-1, keepdim=True)
    deviation = torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def plain_sequence(net, states):
    """Encode one crop's states (n, d) with CLS in front, token by token, in float64."""
    w = {name: p.double() for name, p in net.named_parameters()}
    x = [w["cls"]]
    for k, state in enumerate(states.double()):
        angle = [k / 10000 ** (2 * (i // 2) / DIM) for i in range(DIM)]
        place = [math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angle)]
        x.append(state + torch.tensor(place, dtype=torch.float64))
    for k in range(len(net.sequence_blocks)):
        block = f"sequence_blocks.{k}"
        said = [normalise(token, w, f"{block}.attention_norm") for token in x]
        parts = [linear(token, w, f"{block}.attention.query_key_value").chunk(3) for token in said]
        for i in range(len(x)):
            heads = []
            for part in torch.arange(DIM).chunk(HEADS):
                query = parts[i][0][part]
                scores = torch.stack([query @ p[1][part] for p in parts]) / math.sqrt(len(part))
                strength = torch.exp(scores) / torch.exp(scores).sum()
                heads.append(sum(s * p[2][part] for s, p in zip(strength, parts, strict=True)))
            x[i] = x[i] + linear(torch.cat(heads), w, f"{block}.attention.out")
        for i in range(len(x)):
            thought = linear(normalise(x[i], w, f"{block}.mlp_norm"), w, f"{block}.mlp.0")
            x[i] = x[i] + linear(gelu(thought), w, f"{block}.mlp.2")
    x = [normalise(token, w, "sequence_norm") for token in x]
    return torch.stack(x[1:]), x[0]


def test_encoded_crop_equals_a_plain_loop_over_its_windows():
    net, (signal, visible) = make(), draw()
    states, cls = net.encode(signal, visible)
    for b in range(2):
        tokens = net.state_encoder(signal[b : b + 1], visible[b : b + 1], net.roi)[0]
        plain_states, plain_cls = plain_sequence(net, tokens)
        torch.testing.assert_close(states[b].double(), plain_states, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(cls[b].double(), plain_cls, rtol=1e-5, atol=1e-5)


def test_decoder_equals_a_bilinear_form_of_each_pair_of_state_and_region():
    net = make()
    states = torch.randn(2, 3, DIM)
    decoded = net.decode(states)
    assert decoded.shape == (2, 3, N, TAU)
    w = {name: p.double() for name, p in net.named_parameters()}
    for b, k, i in [(0, 0, 0), (0, 2, 5), (1, 1, 3)]:
        product = linear(states[b, k].double(), w, "decode_state") * (
            w["decode_roi.weight"] @ w["roi"][i]
        )
        plain = linear(product, w, "decode_window")
        torch.testing.assert_close(decoded[b, k, i].double(), plain, rtol=1e-5, atol=1e-5)


@every_attention
@pytest.mark.parametrize("n_regions", [1, 2, N])
def test_outputs_have_their_shapes_and_are_finite(attention, n_regions):
    net, (signal, visible) = make(attention, n_regions), draw((3, 4, n_regions))
    states, cls = net.encode(signal, visible)
    rebuilt = net(signal, visible)
    assert net.roi.shape == (n_regions, DIM)
    assert states.shape == (3, 4, DIM)
    assert cls.shape == (3, DIM)
    assert rebuilt.shape == (3, 4, n_regions, TAU)
    assert all(output.isfinite().all() for output in (states, cls, rebuilt))


@every_attention
def test_hidden_signal_has_exactly_zero_gradient_into_every_encoder_output(attention):
    net, (signal, visible) = make(attention), draw((1, 3, N))
    signal.requires_grad_()
    states, cls = net.encode(signal, visible)
    for value in [*states.flatten(), *cls.flatten(), *net.decode(states).flatten()]:
        (gradient,) = torch.autograd.grad(value, signal, retain_graph=True)
        assert not gradient[~visible].any()
        assert gradient[visible].any()


@every_attention
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, 3e38])
def test_rubbish_under_the_mask_never_reaches_an_output(attention, rubbish):
    net, (signal, visible) = make(attention), draw()
    visible[0, 1] = False
    dirty = signal.masked_fill(~visible[..., None], rubbish)
    for ours, theirs in zip(net.encode(dirty, visible), net.encode(signal, visible), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(net(dirty, visible), net(signal, visible))


@every_attention
def test_permuting_regions_permutes_the_reconstruction_and_nothing_else(attention):
    net, (signal, visible) = make(attention), draw()
    states, cls = net.encode(signal, visible)
    rebuilt = net(signal, visible)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    readout = net.state_encoder.readout
    with torch.no_grad():
        net.roi.copy_(net.roi[order].clone())
        readout.weight.copy_(readout.weight.unflatten(1, (N, DIM))[:, order].flatten(1))
    permuted_states, permuted_cls = net.encode(signal[:, :, order], visible[:, :, order])
    torch.testing.assert_close(permuted_states, states, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(permuted_cls, cls, rtol=1e-5, atol=1e-5)
    permuted = net(signal[:, :, order], visible[:, :, order])
    torch.testing.assert_close(permuted, rebuilt[:, :, order], rtol=1e-5, atol=1e-5)


@every_attention
def test_padded_windows_do_not_change_the_other_windows(attention):
    net, (signal, visible) = make(attention), draw()
    states, cls = net.encode(signal, visible)
    padding = torch.full((2, 3, N, TAU), torch.nan)
    longer = torch.cat([signal, padding], dim=1)
    seen = torch.cat([visible, torch.zeros(2, 3, N, dtype=torch.bool)], dim=1)
    padded_states, padded_cls = net.encode(longer, seen)
    torch.testing.assert_close(padded_states[:, :4], states, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(padded_cls, cls, rtol=1e-5, atol=1e-5)
    assert padded_states.isfinite().all()


@every_attention
def test_window_with_nothing_visible_is_rebuilt_from_the_others(attention):
    net, (signal, visible) = make(attention), draw()
    visible[0, 1] = False
    signal.requires_grad_()
    rebuilt = net(signal, visible)
    assert rebuilt.isfinite().all()
    (gradient,) = torch.autograd.grad(rebuilt[0, 1].sum(), signal)
    assert gradient.isfinite().all()
    assert gradient[0, [0, 2, 3], 0].all()
    assert not gradient[0, 1].any()
    assert not gradient[1].any()


@every_attention
def test_crop_with_nothing_visible_is_rebuilt_finite_with_finite_gradients(attention):
    net, (signal, visible) = make(attention), draw()
    rebuilt = net(signal * torch.nan, torch.zeros_like(visible))
    assert rebuilt.isfinite().all()
    for gradient in torch.autograd.grad(rebuilt.square().sum(), list(net.parameters())):
        assert gradient.isfinite().all()


@every_attention
def test_steep_loss_over_windows_of_one_visible_region_has_finite_gradients(attention):
    """A region that sees no other hears nothing; nothing must not be divided by nothing."""
    net, (signal, visible) = make(attention), draw(share=0)
    loss = 1e6 * net(signal, visible).square().sum()
    for gradient in torch.autograd.grad(loss, list(net.parameters())):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("n_windows", [1, 5])
def test_cls_reads_every_window(n_windows):
    net, (signal, visible) = make(), draw((1, n_windows, N), share=1)
    signal.requires_grad_()
    (gradient,) = torch.autograd.grad(net.encode(signal, visible)[1].square().sum(), signal)
    assert gradient.all()


def test_crops_of_a_batch_do_not_see_each_other():
    net, (signal, visible) = make(), draw((3, 4, N))
    states, cls = net.encode(signal, visible)
    alone, own_cls = net.encode(signal[1:2], visible[1:2])
    torch.testing.assert_close(states[1:2], alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cls[1:2], own_cls, rtol=1e-5, atol=1e-5)


def test_order_of_windows_matters():
    net, (signal, visible) = make(), draw()
    states, cls = net.encode(signal, visible)
    flipped_states, flipped_cls = net.encode(signal.flip(1), visible.flip(1))
    assert (flipped_states.flip(1) - states).abs().amax(-1).min() > 1e-3
    assert (flipped_cls - cls).abs().amax(-1).min() > 1e-3


def test_each_region_is_rebuilt_from_its_own_embedding():
    net = make()
    states = torch.randn(1, 2, DIM)
    (gradient,) = torch.autograd.grad(net.decode(states)[:, :, 3].sum(), net.roi)
    assert gradient[3].all()
    assert not gradient[[0, 1, 2, 4, 5]].any()


@pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
def test_one_batch_can_be_overfitted(attention):
    torch.manual_seed(0)
    net = BrainMAE(N, TAU, 16, HEADS, 1, attention)
    signal, visible = draw((2, 3, N))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(100):
        loss = (net(signal, visible) - signal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02


@seeded
@given(st.integers(1, 300), st.integers(1, 40))
def test_positions_are_the_sines_and_cosines_of_vaswani(n, dim):
    place = positions(n, dim)
    assert place.shape == (n, dim)
    k, i = n - 1, dim - 1
    wave = math.cos if i % 2 else math.sin
    assert place[k, i].item() == pytest.approx(wave(k / 1e4 ** (2 * (i // 2) / dim)), abs=1e-4)


@pytest.mark.parametrize("dim", [8, 15, 64])
def test_positions_are_distinct(dim):
    place = positions(500, dim)
    distance = torch.cdist(place, place) + 10 * torch.eye(500)
    assert distance.min() > 0.1


def test_positions_do_not_depend_on_the_length_of_the_crop():
    assert torch.equal(positions(20, 8)[:7], positions(7, 8))
