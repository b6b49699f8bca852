import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_brainmae.network.attention import Block, RegionGraphAttention, SelfAttention

seeded = settings(max_examples=20, deadline=None, derandomize=True)
masks = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(0, 10**6), st.floats(0, 1))


def make(kind, dim=8, n_heads=2, seed=0, **options):
    """Return an attention with weights large enough for uneven graphs."""
    torch.manual_seed(seed)
    attention = kind(dim, n_heads, **options)
    for p in attention.parameters():
        torch.nn.init.normal_(p, std=0.5)
    return attention


def draw(n_windows=3, n_regions=7, dim=8, share=0.6, seed=1):
    """Return tokens, which of them are visible, and ROI embeddings."""
    g = torch.Generator().manual_seed(seed)
    visible = torch.rand(n_windows, n_regions, generator=g) < share
    x = torch.randn(n_windows, n_regions, dim, generator=g)
    return x, visible, torch.randn(n_regions, dim, generator=g)


def softmax_over(scores):
    """Return the softmax of a list of numbers, by hand."""
    strongest = max(s.item() for s in scores)
    strength = [torch.exp(s - strongest) for s in scores]
    return [s / sum(strength) for s in strength]


def region_graph_loop(attention, x, visible, roi):
    """Send messages one window, head and region after another, in float64."""
    w = {name: p.double() for name, p in attention.named_parameters()}
    n_heads, size = attention.n_heads, x.shape[2] // attention.n_heads
    e, out = roi.double(), []
    for frames, seen in zip(x.double(), visible, strict=True):
        for i in range(len(roi)):
            message = torch.zeros(x.shape[2], dtype=torch.float64)
            others = [j for j in range(len(roi)) if seen[j] and j != i]
            for h in range(n_heads if others else 0):
                rows = slice(h * size, (h + 1) * size)
                query = w["query.weight"][rows] @ e[i]
                scores = [query @ (w["key.weight"][rows] @ e[j]) / size**0.5 for j in others]
                part = sum(
                    s * (w["value.weight"][rows] @ frames[j] + w["value.bias"][rows])
                    for s, j in zip(softmax_over(scores), others, strict=True)
                )
                message = message + torch.nn.functional.pad(
                    part, (rows.start, len(message) - rows.stop)
                )
            out.append(w["out.weight"] @ message + w["out.bias"])
    return torch.stack(out).unflatten(0, visible.shape)


def self_attention_loop(attention, x, visible):
    """Mix tokens one window, head and token after another, in float64."""
    w = {name: p.double() for name, p in attention.named_parameters()}
    dim, size = x.shape[2], x.shape[2] // attention.n_heads
    out = []
    for tokens, seen in zip(x.double(), visible, strict=True):
        q, k, v = (
            tokens @ w["query_key_value.weight"][part * dim : (part + 1) * dim].T
            + w["query_key_value.bias"][part * dim : (part + 1) * dim]
            for part in range(3)
        )
        shown = [j for j in range(len(seen)) if seen[j]]
        for i in range(len(seen)):
            heads = []
            for a in range(0, dim, size):
                scores = [q[i, a : a + size] @ k[j, a : a + size] / size**0.5 for j in shown]
                weights = softmax_over(scores)
                heads.append(
                    sum(s * v[j, a : a + size] for s, j in zip(weights, shown, strict=True))
                )
            out.append(w["out.weight"] @ torch.cat(heads) + w["out.bias"])
    return torch.stack(out).unflatten(0, visible.shape)


def gradients(output, inputs):
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return torch.autograd.grad((output * weights).sum(), inputs, allow_unused=True)


def assert_same_value_and_gradients(output, reference, inputs):
    torch.testing.assert_close(output.double(), reference, rtol=1e-5, atol=1e-5)
    got, wanted = gradients(output, inputs), gradients(reference, inputs)
    for ours, theirs in zip(got, wanted, strict=True):
        if theirs is None:  # a weight that nobody needs when nothing is visible
            assert ours is None or not ours.any()
        else:
            scale = max(1.0, theirs.abs().max().item())
            torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-5, atol=1e-5)


def test_region_graph_equals_plain_loop_with_gradients():
    attention, (x, visible, roi) = make(RegionGraphAttention), draw()
    x.requires_grad_()
    roi.requires_grad_()
    assert_same_value_and_gradients(
        attention(x, visible, roi),
        region_graph_loop(attention, x, visible, roi),
        [x, roi, *attention.parameters()],
    )


@pytest.mark.parametrize("roi_dim", [3, 20])
def test_region_graph_of_longer_or_shorter_roi_embeddings_equals_plain_loop(roi_dim):
    attention, (x, visible, _) = make(RegionGraphAttention, roi_dim=roi_dim), draw()
    roi = torch.randn(7, roi_dim, requires_grad=True)
    assert_same_value_and_gradients(
        attention(x, visible, roi),
        region_graph_loop(attention, x, visible, roi),
        [roi, *attention.parameters()],
    )


@seeded
@given(masks)
def test_region_graph_equals_plain_loop_whatever_is_visible(case):
    n_windows, n_regions, seed, share = case
    attention = make(RegionGraphAttention)
    x, visible, roi = draw(n_windows, n_regions, share=share, seed=seed)
    torch.testing.assert_close(
        attention(x, visible, roi).double(),
        region_graph_loop(attention, x, visible, roi),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(("scale", "tolerance"), [(3, 1e-5), (30, 1e-3)])
def test_region_graph_with_large_scores_equals_plain_loop_with_gradients(scale, tolerance):
    torch.manual_seed(0)
    attention, (x, visible, roi) = RegionGraphAttention(8, 2), draw(n_windows=6, n_regions=9)
    roi = (scale * roi).requires_grad_()
    output, reference = attention(x, visible, roi), region_graph_loop(attention, x, visible, roi)
    torch.testing.assert_close(output.double(), reference, rtol=tolerance, atol=tolerance)
    inputs = [roi, *attention.parameters()]
    for ours, theirs in zip(gradients(output, inputs), gradients(reference, inputs), strict=True):
        error = (ours - theirs).abs().max()
        assert error <= tolerance * max(1, theirs.abs().max())


def test_region_graph_listens_to_a_visible_region_that_a_hidden_one_outshines():
    attention = make(RegionGraphAttention)
    x, _, roi = draw(1, 3)
    gap = attention.scores(roi)
    roi = roi * (1000 / (gap[0, 0, 1] - gap[0, 0, 2]).abs()) ** 0.5
    weaker = 2 if attention.scores(roi)[0, 0, 1] > attention.scores(roi)[0, 0, 2] else 1
    visible = torch.tensor([[True, weaker == 1, weaker == 2]])
    message = attention(x, visible, roi)[0, 0]
    torch.testing.assert_close(message, attention.out(attention.value(x[0, weaker])))


def test_scores_that_are_all_far_above_what_exp_can_hold_are_weighed_right():
    attention, (x, visible, roi) = make(RegionGraphAttention), draw()
    attention.key.load_state_dict(attention.query.state_dict())
    roi = 0.1 * roi + 12
    scores = attention.scores(roi)
    assert scores[scores.isfinite()].min() > 100
    torch.testing.assert_close(
        attention(x, visible, roi).double(),
        region_graph_loop(attention, x, visible, roi),
        rtol=1e-3,
        atol=1e-3,
    )


def test_region_that_sees_no_other_gets_the_bias_alone():
    attention, (x, _, roi) = make(RegionGraphAttention), draw(2, 4)
    visible = torch.tensor([[False, True, False, False], [False] * 4])
    message = attention(x, visible, roi)
    torch.testing.assert_close(message[0, 1], attention.out.bias)
    torch.testing.assert_close(message[1], attention.out.bias.expand(4, -1))
    assert not torch.equal(message[0, 0], attention.out.bias)


@pytest.mark.parametrize("n_regions", [1, 4])
def test_region_that_sees_no_other_leaves_steep_gradients_finite(n_regions):
    attention, (x, _, roi) = make(RegionGraphAttention), draw(1, n_regions)
    visible = torch.arange(n_regions)[None] == 0
    x.requires_grad_()
    roi.requires_grad_()
    loss = 1e4 * attention(x, visible, roi).square().sum()
    for gradient in torch.autograd.grad(loss, [x, roi, *attention.parameters()]):
        assert gradient.isfinite().all()


def test_scores_have_no_self_loops_and_are_directed():
    scores = make(RegionGraphAttention).scores(draw()[2])
    assert scores.shape == (2, 7, 7)
    assert (scores.diagonal(dim1=1, dim2=2) == -torch.inf).all()
    assert (scores.isfinite().sum((1, 2)) == 7 * 6).all()
    there = scores[:, *torch.triu_indices(7, 7, 1)]
    back = scores.mT[:, *torch.triu_indices(7, 7, 1)]
    assert (there - back).abs().mean() > 0.1 * there.abs().mean()


@seeded
@given(masks)
def test_graph_rows_sum_to_one_over_visible_others(case):
    n_windows, n_regions, seed, share = case
    _, visible, roi = draw(n_windows, n_regions, share=share, seed=seed)
    graph = make(RegionGraphAttention).graph(roi, visible)
    assert graph.shape == (n_windows, 2, n_regions, n_regions)
    assert not graph.diagonal(dim1=2, dim2=3).any()
    assert not graph.masked_fill(visible[:, None, None, :], 0).any()
    listens = (visible.sum(1, keepdim=True) - visible.long()) > 0  # (M, N)
    expected = listens[:, None].expand(-1, 2, -1).float()
    torch.testing.assert_close(graph.sum(-1), expected)


def test_graph_is_not_symmetric():
    graph = make(RegionGraphAttention).graph(draw()[2], torch.ones(1, 7, dtype=torch.bool))
    assert (graph - graph.mT).abs().amax(dim=(2, 3)).min() > 0.1


def test_graph_is_the_one_messages_travel_on():
    attention, (x, visible, roi) = make(RegionGraphAttention), draw()
    value = attention.value(x).unflatten(-1, (2, -1)).transpose(1, 2)  # (M, H, N, d/H)
    message = attention.graph(roi, visible) @ value
    torch.testing.assert_close(
        attention(x, visible, roi), attention.out(message.transpose(1, 2).flatten(2))
    )


@pytest.mark.parametrize("kind", [RegionGraphAttention, SelfAttention])
def test_block_of_visible_tokens_alone_equals_that_of_all_tokens_with_gradients(kind):
    block, (x, visible, roi) = Block(make(kind), 8), draw(n_windows=4)
    visible[0] = torch.arange(7) == 3  # a single visible region
    n_tokens = int(visible.sum(1).max())
    assert n_tokens < 7
    assert visible.sum(1).min() == 1
    region = visible.byte().argsort(dim=1, descending=True, stable=True)[:, :n_tokens]
    window = torch.arange(4)[:, None]
    x.requires_grad_()
    roi.requires_grad_()
    shown = visible[window, region]
    few = block(x[window, region], shown, roi, region)[shown]
    every = block(x, visible, roi)[window, region][shown]
    torch.testing.assert_close(few, every, rtol=1e-5, atol=1e-5)
    inputs = [x, roi, *block.parameters()]
    for ours, theirs in zip(gradients(few, inputs), gradients(every, inputs), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert (ours - theirs).abs().max() <= 1e-5 * max(1, theirs.abs().max())


def test_tokens_taken_in_slices_think_the_same_with_gradients(monkeypatch):
    block, (x, visible, roi) = Block(make(RegionGraphAttention), 8), draw()
    inputs = [x.requires_grad_(), *block.parameters()]
    monkeypatch.setattr("sk_brainmae.network.fast.SLICE", 4 * 8 * 5)  # slices of 5 of 21
    sliced = block(x, visible, roi)
    whole = x + block.attention(block.attention_norm(x), visible, roi)
    whole = whole + block.mlp(block.mlp_norm(whole))
    torch.testing.assert_close(sliced, whole)
    for ours, theirs in zip(gradients(sliced, inputs), gradients(whole, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_region_graph_does_not_change_with_the_signal():
    attention, (x, visible, roi) = make(RegionGraphAttention), draw()
    other = torch.randn_like(x)
    both = attention(x + other, visible, roi)
    torch.testing.assert_close(
        both - attention(other, visible, roi),
        attention(x, visible, roi) - attention(torch.zeros_like(x), visible, roi),
        atol=1e-5,
        rtol=1e-4,
    )


def test_region_graph_messages_do_not_read_hidden_tokens():
    attention, (x, visible, roi) = make(RegionGraphAttention), draw()
    x.requires_grad_()
    (gradient,) = gradients(attention(x, visible, roi), [x])
    assert not gradient[~visible].any()
    assert gradient[visible].any(-1).all()


def test_self_attention_equals_plain_loop_with_gradients():
    attention, (x, visible, _) = make(SelfAttention), draw()
    assert visible.any(1).all()
    x.requires_grad_()
    assert_same_value_and_gradients(
        attention(x, visible),
        self_attention_loop(attention, x, visible),
        [x, *attention.parameters()],
    )


def test_self_attention_does_not_read_hidden_tokens():
    attention, (x, visible, _) = make(SelfAttention), draw()
    visible[:, 0] = False
    other = x.clone()
    other[~visible] = 1e4
    ours, theirs = attention(x, visible), attention(other, visible)
    assert torch.equal(ours[visible], theirs[visible])


def test_self_attention_where_nothing_is_visible_is_finite_and_alone():
    attention, (x, visible, _) = make(SelfAttention), draw()
    blind = torch.cat([visible[:2], torch.zeros_like(visible[:1])])
    x.requires_grad_()
    output = attention(x, blind)
    assert output.isfinite().all()
    assert gradients(output, [x])[0].isfinite().all()
    torch.testing.assert_close(output[:2], attention(x[:2], visible[:2]))


@pytest.mark.parametrize("kind", [RegionGraphAttention, SelfAttention])
@pytest.mark.parametrize("n_regions", [1, 2])
def test_block_of_few_regions_keeps_shape_and_is_finite(kind, n_regions):
    x, _, roi = draw(4, n_regions)
    output = Block(make(kind), 8)(x, torch.ones(4, n_regions, dtype=torch.bool), roi)
    assert output.shape == x.shape
    assert output.isfinite().all()
    assert not torch.equal(output, x)
