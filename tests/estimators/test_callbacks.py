"""Progress and interruption: scikit-learn's callbacks see every epoch; Ctrl-C ends fit."""

from collections import Counter

import pytest
import rich
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

from sk_brainmae import BrainMAEClassifier, BrainMAETransformer
from sk_brainmae.datasets import make_cohort

TINY = {
    "embedding_dim": 8,
    "n_heads": 2,
    "window_size": 10,
    "crop_length": 30,
    "max_epochs": 1,
    "validation_fraction": 0,  # train, whatever it brings
    "random_state": 0,
}
LABELS = ["rest", "task"] * 6


@pytest.fixture(scope="module")
def scans():
    return make_cohort(n_scans=12, n_timepoints=60, n_regions=10, random_state=0).scans


class Recorder:
    """A callback that propagates like ProgressBar and counts the tasks it is told of."""

    max_propagation_depth = None

    def __init__(self):
        self.begun, self.ended, self.roots = Counter(), Counter(), set()
        self.miscounted = []

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context):
        self.begun[context.task_name] += 1
        while context.parent is not None:
            context = context.parent
        self.roots.add(context.estimator_name)

    def on_fit_task_end(self, estimator, context):
        self.ended[context.task_name] += 1
        subtasks = sum(task.parent is context for task in context)
        if context.estimator_name.startswith("BrainMAE") and subtasks != context.max_subtasks:
            self.miscounted.append(context)


def test_callbacks_see_every_epoch_of_a_search_on_the_transformer(scans):
    recorder = Recorder()
    search = GridSearchCV(BrainMAETransformer(**{**TINY, "max_epochs": 3}), {"lr": [0.01, 0.02]},
                          cv=2)  # fmt: skip
    search.set_callbacks(recorder).fit(scans)
    assert recorder.roots == {"GridSearchCV"}
    assert recorder.begun["epoch"] == 3 * (2 * 2 + 1), "epochs x (candidates x folds + refit)"
    assert recorder.begun == recorder.ended
    assert not recorder.miscounted


def test_callbacks_see_every_stage_and_epoch_of_a_search_on_the_classifier(scans):
    encoder = BrainMAETransformer(**TINY).fit(scans)
    for pretrained, n_stages in ((None, 2), (encoder, 1)):
        recorder = Recorder()
        model = BrainMAEClassifier(**TINY, pretrained=pretrained, strategy="finetune")
        search = GridSearchCV(model, {"lr": [0.01]}, cv=2).set_callbacks(recorder)
        search.fit(scans, LABELS)
        assert recorder.roots == {"GridSearchCV"}
        assert recorder.begun["fine-tuning"] == 3
        assert recorder.begun["pretraining"] == 3 * (n_stages - 1)
        assert recorder.begun["epoch"] == 3 * n_stages
        assert recorder.begun == recorder.ended
        assert not recorder.miscounted


@pytest.fixture
def wide_terminal():
    rich.reconfigure(width=120)
    yield
    rich.reconfigure()


def test_progress_bars_reach_down_to_the_stages(scans, capsys, wide_terminal):
    model = BrainMAEClassifier(**TINY, strategy="finetune")
    GridSearchCV(model, {"lr": [0.01]}, cv=2).set_callbacks(ProgressBar()).fit(scans, LABELS)
    shown = capsys.readouterr().out
    for stage in ("pretraining", "fine-tuning"):
        assert shown.count(f"BrainMAEClassifier - {stage}") == 3, "a bar for each fold and refit"
    bars = [line for line in shown.splitlines() if line.strip()]
    assert all("100%" in bar for bar in bars), shown


@pytest.mark.parametrize(
    "model",
    [BrainMAETransformer(**TINY), BrainMAEClassifier(**TINY, strategy="finetune")],
    ids=["transformer", "classifier"],
)
def test_ctrl_c_in_the_middle_of_an_epoch_ends_fit(scans, model):
    recorder, steps = Recorder(), []

    def press_ctrl_c(module, arguments):
        steps.append(module)
        if len(steps) == 60:  # each module's forward pass counts: a few batches
            raise KeyboardInterrupt

    model = clone(model).set_params(max_epochs=5, batch_size=4)
    hook = torch.nn.modules.module.register_module_forward_pre_hook(press_ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.set_callbacks(recorder).fit(scans, LABELS)
    finally:
        hook.remove()
    assert recorder.begun["epoch"] == recorder.ended["epoch"] + 1
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(model.set_callbacks().fit(scans, LABELS))
