import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.network.state_encoder import ATTENTION, StateEncoder

every_attention = pytest.mark.parametrize("attention", ["static", "adaptive", "vanilla"])
seeded = settings(max_examples=15, deadline=None, derandomize=True)
TAU, DIM, HEADS = 5, 8, 2


def make(attention, n_regions=6, seed=0, **options):
    """Return an encoder with weights large enough for uneven attention."""
    torch.manual_seed(seed)
    encoder = StateEncoder(n_regions, TAU, DIM, HEADS, attention, **options)
    for p in encoder.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return encoder


def draw(shape=(2, 3, 6), share=0.6, seed=1):
    """Return signal (B, n, N, tau), what is visible of it, and ROI embeddings."""
    g = torch.Generator().manual_seed(seed)
    visible = torch.rand(shape, generator=g) < share
    signal = torch.randn(*shape, TAU, generator=g)
    return signal, visible, torch.randn(shape[2], DIM, generator=g)


def normalise(x, weight, bias):
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * weight + bias


def perceptron(x, w, name):
    hidden = w[f"{name}.0.weight"] @ x + w[f"{name}.0.bias"]
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return w[f"{name}.2.weight"] @ hidden + w[f"{name}.2.bias"]


def listen(scores, values):
    """Return the mean of the values, weighted by the softmax of their scores."""
    strength = torch.exp(torch.stack(scores) - max(s.item() for s in scores))
    return sum(s * v for s, v in zip(strength / strength.sum(), values, strict=True))


def graph_message(w, name, i, x, visible, roi):
    """Tell region i what the visible others say; the ROI embeddings decide who is heard."""
    others = [j for j in visible if j != i]
    if not others:
        return w[f"{name}.out.bias"]
    query = (w[f"{name}.query.weight"] @ roi[i]).chunk(HEADS)
    keys = [(w[f"{name}.key.weight"] @ roi[j]).chunk(HEADS) for j in others]
    values = [
        (w[f"{name}.value.weight"] @ x[j] + w[f"{name}.value.bias"]).chunk(HEADS) for j in others
    ]
    heads = [
        listen([query[h] @ k[h] / math.sqrt(DIM / HEADS) for k in keys], [v[h] for v in values])
        for h in range(HEADS)
    ]
    return w[f"{name}.out.weight"] @ torch.cat(heads) + w[f"{name}.out.bias"]


def token_message(w, name, i, x, visible):
    """Tell token i what the visible ones (itself too) say; the tokens decide who is heard."""

    def parts(token):
        both = w[f"{name}.query_key_value.weight"] @ token + w[f"{name}.query_key_value.bias"]
        return [part.chunk(HEADS) for part in both.chunk(3)]

    query = parts(x[i])[0]
    shown = [parts(x[j]) for j in visible]
    heads = [
        listen(
            [query[h] @ k[h] / math.sqrt(DIM / HEADS) for _, k, _ in shown],
            [v[h] for _, _, v in shown],
        )
        for h in range(HEADS)
    ]
    return w[f"{name}.out.weight"] @ torch.cat(heads) + w[f"{name}.out.bias"]


def plain_state(w, attention, window, seen, roi):
    """Encode one window (N, tau), the visible regions one after another."""
    visible = [i for i in range(len(seen)) if seen[i]]
    x = {i: w["project.weight"] @ window[i] + w["project.bias"] for i in visible}
    static = {"static": (0, 1, 2), "adaptive": (0,), "vanilla": ()}[attention]
    takes_up_roi = {"static": None, "adaptive": 1, "vanilla": 0}[attention]
    for k in range(3):
        block = f"blocks.{k}"
        if k == takes_up_roi:
            taken_up = {i: w["take_up_roi.weight"] @ roi[i] for i in visible if len(roi[i]) != DIM}
            x = {i: x[i] + taken_up.get(i, roi[i]) for i in visible}
        norm = [w[f"{block}.attention_norm.{p}"] for p in ("weight", "bias")]
        said = {i: normalise(x[i], *norm) for i in visible}
        if k in static:
            heard = {
                i: graph_message(w, f"{block}.attention", i, said, visible, roi) for i in visible
            }
        else:
            heard = {i: token_message(w, f"{block}.attention", i, said, visible) for i in visible}
        x = {i: x[i] + heard[i] for i in visible}
        norm = [w[f"{block}.mlp_norm.{p}"] for p in ("weight", "bias")]
        x = {i: x[i] + perceptron(normalise(x[i], *norm), w, f"{block}.mlp") for i in visible}
    state = w["readout.bias"]
    for i in visible:
        region = normalise(x[i], w["norm.weight"], w["norm.bias"])
        state = state + w["readout.weight"][:, i * DIM : (i + 1) * DIM] @ region
    return state


def plain_states(encoder, attention, signal, visible, roi):
    w = {name: p.double() for name, p in encoder.named_parameters()}
    return torch.stack(
        [
            plain_state(w, attention, window.double(), seen, roi.double())
            for window, seen in zip(signal.flatten(0, 1), visible.flatten(0, 1), strict=True)
        ]
    ).unflatten(0, visible.shape[:2])


@every_attention
def test_states_and_gradients_equal_a_plain_loop_over_windows(attention):
    encoder, (signal, visible, roi) = make(attention), draw()
    visible[0, 0] = False
    signal.requires_grad_()
    roi.requires_grad_()
    inputs = [signal, roi, *encoder.parameters()]
    direction = torch.randn(2, 3, DIM, generator=torch.Generator().manual_seed(2))
    states = encoder(signal, visible, roi)
    reference = plain_states(encoder, attention, signal, visible, roi)
    torch.testing.assert_close(states.double(), reference, rtol=1e-5, atol=1e-5)
    ours = torch.autograd.grad((states * direction).sum(), inputs)
    theirs = torch.autograd.grad((reference * direction).sum(), inputs, materialize_grads=True)
    for got, wanted in zip(ours, theirs, strict=True):
        assert (got - wanted).abs().max() <= 1e-5 * max(1, wanted.abs().max())


@every_attention
@pytest.mark.parametrize("roi_dim", [3, 20])
def test_states_with_longer_or_shorter_roi_embeddings_equal_a_plain_loop(attention, roi_dim):
    encoder, (signal, visible, _) = make(attention, roi_dim=roi_dim), draw()
    roi = torch.randn(6, roi_dim, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        encoder(signal, visible, roi).double(),
        plain_states(encoder, attention, signal, visible, roi),
        rtol=1e-5,
        atol=1e-5,
    )
    assert (attention == "static") == (not list(encoder.take_up_roi.parameters()))


@seeded
@given(
    st.sampled_from(sorted(ATTENTION)),
    st.integers(1, 7),
    st.floats(0, 1),
    st.integers(0, 10**6),
)
def test_states_equal_a_plain_loop_whatever_is_visible(attention, n_regions, share, seed):
    encoder = make(attention, n_regions)
    signal, visible, roi = draw((1, 2, n_regions), share, seed)
    torch.testing.assert_close(
        encoder(signal, visible, roi).double(),
        plain_states(encoder, attention, signal, visible, roi),
        rtol=1e-5,
        atol=1e-5,
    )


@every_attention
def test_hidden_signal_has_exactly_zero_gradient_into_every_state(attention):
    encoder, (signal, visible, roi) = make(attention), draw()
    signal.requires_grad_()
    for value in encoder(signal, visible, roi).flatten():
        (gradient,) = torch.autograd.grad(value, signal, retain_graph=True)
        assert not gradient[~visible].any()
    everything = encoder(signal, visible, roi).square().sum()
    (gradient,) = torch.autograd.grad(everything, signal)
    assert gradient[visible].all()


@every_attention
@pytest.mark.parametrize("rubbish", [torch.nan, torch.inf, -torch.inf, 3e38])
def test_rubbish_under_the_mask_never_reaches_a_state_or_a_gradient(attention, rubbish):
    encoder, (signal, visible, roi) = make(attention), draw()
    clean = encoder(signal, visible, roi)
    clean_gradients = torch.autograd.grad(clean.sum(), list(encoder.parameters()))
    signal = signal.masked_fill(~visible[..., None], rubbish)
    states = encoder(signal, visible, roi)
    assert torch.equal(states, clean)
    gradients = torch.autograd.grad(states.sum(), list(encoder.parameters()))
    assert all(map(torch.equal, gradients, clean_gradients))


@every_attention
def test_each_window_has_its_own_mask(attention):
    encoder, (signal, visible, roi) = make(attention), draw()
    together = encoder(signal, visible, roi)
    for b in range(2):
        for k in range(3):
            alone = encoder(signal[b, k][None, None], visible[b, k][None, None], roi)
            torch.testing.assert_close(alone[0, 0], together[b, k], rtol=1e-5, atol=1e-5)
    other = visible.clone()
    other[0, 0, 0] ^= True
    changed = (encoder(signal, other, roi) - together).abs().amax(-1) > 1e-4
    assert changed.nonzero().tolist() == [[0, 0]]


@every_attention
def test_permuting_regions_changes_no_state(attention):
    encoder, (signal, visible, roi) = make(attention), draw()
    states = encoder(signal, visible, roi)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    misplaced = encoder(signal[:, :, order], visible[:, :, order], roi[order])
    weight = encoder.readout.weight.detach()
    weight = weight.unflatten(1, (6, DIM))[:, order].flatten(1)
    encoder.readout.weight = torch.nn.Parameter(weight)
    permuted = encoder(signal[:, :, order], visible[:, :, order], roi[order])
    torch.testing.assert_close(permuted, states, rtol=1e-5, atol=1e-5)
    assert (misplaced - states).abs().max() > 0.1


@every_attention
def test_states_depend_on_which_embedding_a_region_has(attention):
    encoder, (signal, _, roi) = make(attention), draw()
    visible = torch.ones(2, 3, 6, dtype=torch.bool)
    other = encoder(signal, visible, roi[[1, 0, 2, 3, 4, 5]])
    assert (other - encoder(signal, visible, roi)).abs().max() > 0.01


@every_attention
def test_where_nothing_is_visible_the_state_is_the_readout_bias(attention):
    encoder, (signal, visible, roi) = make(attention), draw()
    visible[1, 2] = False
    states = encoder(signal * torch.nan, torch.zeros_like(visible), roi)
    torch.testing.assert_close(states, encoder.readout.bias.expand(2, 3, -1))
    torch.testing.assert_close(encoder(signal, visible, roi)[1, 2], encoder.readout.bias)


@every_attention
@pytest.mark.parametrize("n_regions", [1, 2])
def test_one_or_two_regions_give_finite_states_that_read_them(attention, n_regions):
    encoder, (signal, visible, roi) = make(attention, n_regions), draw((4, 2, n_regions), 1)
    signal.requires_grad_()
    states = encoder(signal, visible, roi)
    assert states.shape == (4, 2, DIM)
    assert states.isfinite().all()
    (gradient,) = torch.autograd.grad(states.square().sum(), signal)
    assert gradient.isfinite().all()
    assert gradient.all()


@pytest.mark.parametrize(("attention", "linear_blocks"), [("static", 3), ("adaptive", 1)])
def test_attention_of_static_blocks_ignores_the_signal(attention, linear_blocks):
    """A block attends alike whatever is said: its messages are linear in the tokens."""
    encoder, (signal, visible, roi) = make(attention), draw()
    x, y = encoder.project(signal).flatten(0, 1), torch.randn(6, 6, DIM)
    linear = []
    for block in encoder.blocks:
        heard = [block.attention(z, visible.flatten(0, 1), roi) for z in (x, y, (x + y) / 2)]
        linear.append(torch.allclose((heard[0] + heard[1]) / 2, heard[2], atol=1e-5))
    assert linear == [k < linear_blocks for k in range(3)]
