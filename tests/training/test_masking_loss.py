import pytest
import torch

from sk_brainmae.training.masking import ReconstructionLoss


def target(signal, hidden, visible):
    return {"signal": signal, "hidden": hidden, "visible": visible}


def test_lambda_weighs_hidden_against_visible_as_computed_by_hand():
    signal = torch.zeros(1, 1, 4, 2)
    reconstruction = torch.tensor([[[[2.0, 4.0], [1.0, 1.0], [3.0, 1.0], [100.0, 100.0]]]])
    hidden = torch.tensor([[[True, False, False, False]]])
    visible = torch.tensor([[[False, True, True, False]]])  # the last region is missing
    # MSE(hidden) = (4 + 16) / 2 = 10, MSE(visible) = (1 + 1 + 9 + 1) / 4 = 3
    loss = ReconstructionLoss()(reconstruction, target(signal, hidden, visible))
    assert loss.item() == pytest.approx(0.75 * 10 + 0.25 * 3)
    loss = ReconstructionLoss(0.4)(reconstruction, target(signal, hidden, visible))
    assert loss.item() == pytest.approx(0.4 * 10 + 0.6 * 3)


def random_batch(ratio):
    generator = torch.Generator().manual_seed(0)
    signal, reconstruction = torch.randn(2, 3, 4, 7, 5, generator=generator)
    hidden = torch.rand(3, 4, 7, generator=generator) < ratio
    visible = ~hidden
    hidden[:, :, 2] = visible[:, :, 2] = False  # missing in every scan
    hidden[2, 3] = visible[2, 3] = False  # a window that a shorter crop lacks
    return reconstruction, target(signal, hidden, visible)


def test_the_means_run_over_all_cells_of_the_batch():
    reconstruction, batch = random_batch(0.4)
    squares = {"hidden": [], "visible": []}
    for crop in range(3):
        for window in range(4):
            for region in range(7):
                for part, values in squares.items():
                    if batch[part][crop, window, region]:
                        error = reconstruction - batch["signal"]
                        values += (error[crop, window, region] ** 2).tolist()
    mean = {part: sum(values) / len(values) for part, values in squares.items()}
    loss = ReconstructionLoss()(reconstruction, batch)
    assert loss.item() == pytest.approx(0.75 * mean["hidden"] + 0.25 * mean["visible"], rel=1e-5)


def test_without_hidden_regions_the_loss_is_the_plain_error_of_the_visible():
    reconstruction, batch = random_batch(0)
    error = (reconstruction - batch["signal"])[batch["visible"]]
    loss = ReconstructionLoss()(reconstruction, batch)
    torch.testing.assert_close(loss, error.square().mean())


def test_missing_cells_change_neither_loss_nor_gradient():
    reconstruction, batch = random_batch(0.4)
    loss = ReconstructionLoss()(reconstruction, batch)
    missing = ~(batch["hidden"] | batch["visible"])
    assert missing[:, :, 2].all()
    changed = reconstruction.clone()
    changed[missing] += 1e3
    changed.requires_grad_()
    again = ReconstructionLoss()(changed, batch)
    again.backward()
    assert torch.equal(loss, again)
    assert (changed.grad[missing] == 0).all()
    assert (changed.grad[~missing] != 0).all()


@pytest.mark.parametrize("rubbish", [0.0, 1e6])
def test_frames_that_were_not_measured_do_not_count(rubbish):
    reconstruction, batch = random_batch(0.4)
    measured = torch.rand(batch["signal"].shape, generator=torch.Generator().manual_seed(1)) < 0.8
    other = {**batch, "signal": torch.where(measured, batch["signal"], rubbish)}
    criterion = ReconstructionLoss()
    loss = criterion(reconstruction, {**other, "measured": measured})
    same = criterion(reconstruction, {**batch, "measured": measured})
    assert loss.item() == same.item()
    all_there = torch.ones_like(measured)
    torch.testing.assert_close(
        criterion(reconstruction, {**batch, "measured": all_there}),
        criterion(reconstruction, batch),
    )
