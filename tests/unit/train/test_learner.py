"""The Learner is fastai's own: its tools work on it, and change nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.interpret import ClassificationInterpretation
from fastai.learner import Learner
from fastai.vision import data as _show  # noqa: F401 - registers fastai's image views
from fastai.vision import learner as _results  # noqa: F401
from safetensors.torch import load

from plainfilm.config import ModelConfig, Phase, TrainConfig
from plainfilm.errors import DivergedError, TrainingError
from plainfilm.models.build import build_model
from plainfilm.train import callbacks, fit, interruption, progress
from plainfilm.train.fit import (
    _FALLBACK_LR,
    _is_flat,
    _LrCurve,
    _rising_rate,
    _suggest,
    _unsmoothed,
    find_lr,
    fit_phases,
)
from plainfilm.train.learner import _AdamW, _auroc, _class_weights, make_learner
from wording import lacking

mpl.use("Agg")
SIZE = 40


@pytest.fixture
def learn(make_learn):
    return make_learn()


def digest(model):
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


def test_lr_find_changes_nothing_ours_or_fastais(learn, tmp_path):
    before, state = digest(learn.model), learn.dls.train.phase
    curve = find_lr(learn, TrainConfig(size_px=SIZE, seed=0), num_it=20)
    assert digest(learn.model) == before
    assert learn.dls.train.phase == state
    assert list(tmp_path.iterdir()) == []
    assert set(curve.suggestions) == {"valley", "slide", "minimum", "steep"}
    assert 1e-7 < curve.lr < 10
    with learn.no_bar():
        learn.lr_find(num_it=20, show_plot=False)
    assert digest(learn.model) == before


@pytest.mark.parametrize("ratio", [1.0, 0.01])
def test_the_finder_scales_its_rates_as_training_does(learn, ratio, monkeypatch):
    seen = []

    class Watching(fit.LRFinder):
        def after_batch(self):
            seen.append([group["lr"] for group in self.opt.hypers])
            super().after_batch()

    monkeypatch.setattr(fit, "LRFinder", Watching)
    curve = find_lr(learn, TrainConfig(size_px=SIZE), num_it=12, ratio=ratio)
    learn.create_opt()
    learn.opt.set_hyper("lr", fit._rates(1.0, ratio))  # what fastai makes of it in fit_one_cycle
    expected = np.array([group["lr"] for group in learn.opt.hypers])
    assert len(expected) > 2
    np.testing.assert_allclose(np.array(seen)[: len(curve.lrs)], curve.lrs[:, None] * expected, rtol=1e-6)
    np.testing.assert_allclose(curve.lrs, 1e-7 * 1e8 ** (np.arange(len(curve.lrs)) / 12), rtol=1e-6)


def test_finding_a_rate_twice_gives_the_same_curve(learn):
    first, second = (find_lr(learn, TrainConfig(size_px=SIZE), num_it=12) for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)


@pytest.mark.parametrize(
    "losses", [[0.7], [0.7, 0.6], [0.7, np.nan], [np.nan] * 4, [0.7, 0.6, 0.5, np.inf, 9.0], [1.0] * 30]
)
def test_suggestions_survive_short_flat_and_diverging_curves(losses):
    found = _suggest(np.geomspace(1e-7, 10, len(losses)), np.array(losses))
    assert all(value is None or 0 < value <= 10 for value in found.values())


def test_suggestions_of_a_textbook_curve_lie_on_its_slope():
    lrs = np.geomspace(1e-7, 10, 100)
    losses = 0.7 - 0.5 / (1 + np.exp(-4 * (np.log10(lrs) + 3))) + np.where(lrs > 0.3, (lrs / 0.3) ** 2 - 1, 0)
    found = _suggest(lrs, losses)
    assert 1e-4 < found["steep"] < 1e-2
    assert 1e-4 < found["valley"] < 1e-1
    assert 1e-3 < found["minimum"] < 0.3


def test_without_any_suggestion_there_is_still_a_rate():
    from plainfilm.train.fit import _LrCurve

    curve = _LrCurve(np.array([1e-7]), np.array([0.7]), dict.fromkeys(("valley", "slide", "minimum", "steep")))
    assert curve.lr == _FALLBACK_LR


def test_training_learns_and_the_phases_follow_each_other(learn):
    positions = []

    class Watch(Callback):
        phase = 0

        def before_epoch(self):
            positions.append((self.phase, self.epoch, self.dls.train.phase, self.dls.train.epoch))

    fit_phases(learn, [Phase(epochs=2, size_px=SIZE, lr=2e-3), Phase(epochs=1, size_px=SIZE, lr=1e-3)], cbs=[Watch()])
    assert positions == [(0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0)]
    assert learn.recorder.values[-1][-1] > 0.9


def test_two_equal_learners_end_with_equal_weights(learn, tmp_path):
    cfg = TrainConfig(size_px=SIZE, batch_size=8)
    model = build_model(ModelConfig(filters=(4, 4, 8), dense=16), 2, SIZE)
    twin = make_learner(learn.dls, model, cfg, path=tmp_path)
    fit_phases(learn, [Phase(epochs=1, size_px=SIZE)])
    torch.rand(11)
    fit_phases(twin, [Phase(epochs=1, size_px=SIZE)])
    assert digest(learn.model) == digest(twin.model)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # fastai's tensors in matplotlib
def test_fastais_tools_work(learn):
    learn.fit_one_cycle(1, 2e-3)
    assert [type(loss) for loss in learn.recorder.losses] == [float] * 5  # a tensor would stay between activations
    assert len(learn.validate(2)) == 3
    probs, targs = learn.get_preds(ds_idx=1)
    assert probs.shape == (20, 2)
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(20))
    interp = ClassificationInterpretation.from_learner(learn)
    assert interp.confusion_matrix().sum() == 20
    interp.plot_top_losses(4)
    learn.show_results(max_n=4)
    learn.dls.show_batch(max_n=4)


def test_a_nan_loss_stops_training(learn):
    with torch.no_grad():
        learn.model.network.head[1].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="^The loss became nan") as error:
        fit_phases(learn, [Phase(epochs=1, size_px=SIZE)])
    assert lacking(str(error.value), "epoch 1, step 1", "smaller --lr") == []
    assert error.value.exit_code == 5


def test_a_flat_curve_leaves_a_rate_below_where_the_loss_rises():
    lrs = np.geomspace(1e-7, 10, 81)  # ten steps for each power of ten
    level = np.full(81, 0.5)
    assert _rising_rate(lrs, level) == np.inf
    early = np.where(lrs > 1.1e-4, 0.9, 0.5)  # rises from 1.26e-4 on
    assert _rising_rate(lrs, early) == pytest.approx(1e-4 * 10**0.1)
    assert _LrCurve(lrs, early, {}, flat=True).lr == pytest.approx(1e-5 * 10**0.1)
    spike = np.where(np.arange(81) == 40, 0.9, 0.5)  # one step alone is no rise
    assert _rising_rate(lrs, spike) == np.inf
    assert _LrCurve(lrs, spike, {}, flat=True).lr == _FALLBACK_LR
    broken = np.where(lrs > 1.1e-2, np.nan, 0.5)
    assert _rising_rate(lrs, broken) == pytest.approx(1e-2 * 10**0.1)


def test_no_callback_hides_an_attribute_of_the_learner():
    """A callback's name becomes a Learner attribute; one named Save would hide learn.save."""
    ours = [
        c
        for module in (callbacks, interruption)
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Callback) and c.__module__ == module.__name__
    ]
    assert len(ours) >= 7
    for kind in ours:
        name = kind.name if isinstance(kind.name, str) else kind.name.fget(kind.__new__(kind))
        assert name == "progress" or not hasattr(Learner, name), name


def smoothed(losses: np.ndarray) -> np.ndarray:
    """As fastai's Recorder keeps them: a running mean with weights 0.98, without its bias."""
    mean, found = 0.0, []
    for i, loss in enumerate(losses, start=1):
        mean = 0.98 * mean + 0.02 * loss
        found.append(mean / (1 - 0.98**i))
    return np.array(found)


FALL = np.r_[np.full(60, 0.7), np.linspace(0.7, 0.4, 30), np.geomspace(0.4, 50, 10)]


@pytest.mark.parametrize(
    ("losses", "noise", "flat"),
    [
        (np.full(100, 0.697), 0.0, True),
        (np.full(100, 0.697), 0.03, True),
        (np.r_[np.full(85, 0.697), np.geomspace(0.697, 90, 15)], 0.03, True),  # it diverges and never falls
        (np.linspace(0.697, 0.6932, 100), 0.0, True),  # down to chance: the bias is learned, and no image
        (FALL, 0.0, False),
        (FALL, 0.05, False),
        (FALL, 2.0, True),  # the fall drowns in noise
        (np.linspace(0.7, 0.1, 6), 0.0, False),  # too short to tell
        (np.r_[FALL, np.nan], 0.05, False),
    ],
)
def test_a_curve_is_flat_if_the_loss_falls_by_no_more_than_noise(losses, noise, flat):
    drawn = losses + noise * np.random.default_rng(1).normal(size=len(losses))
    assert _is_flat(smoothed(drawn)) is flat


def test_few_curves_of_pure_noise_are_taken_for_a_fall():
    rng = np.random.default_rng(0)
    found = [_is_flat(smoothed(0.7 + 0.03 * rng.normal(size=100))) for _ in range(300)]
    assert np.mean(found) > 0.93


def test_the_losses_of_the_steps_come_back_from_the_smoothed_ones():
    losses = np.random.default_rng(0).random(50)
    np.testing.assert_allclose(_unsmoothed(smoothed(losses)), losses, atol=1e-9)


def test_on_a_flat_curve_the_finder_suggests_nothing_and_keeps_the_default(learn):
    learn.model.network.head[1].register_forward_hook(lambda module, x, y: y * 0)
    curve = find_lr(learn, TrainConfig(size_px=SIZE), num_it=30)
    assert curve.flat and set(curve.suggestions.values()) == {None} and curve.lr == _FALLBACK_LR


def test_auroc_of_binary_and_multi_class_scores():
    scores = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]])
    assert _auroc(scores, torch.tensor([0, 0, 1, 1])) == pytest.approx(3 / 4)
    three = torch.eye(3).repeat(2, 1)
    assert _auroc(three, torch.tensor([0, 1, 2, 0, 1, 2])) == 1.0
    assert np.isnan(_auroc(scores, torch.zeros(4)))


def test_class_weights_are_inverse_to_the_class_sizes(learn):
    torch.testing.assert_close(_class_weights(learn.dls), torch.ones(2))
    learn.dls.train_ds._plainfilm_targets = np.repeat([0, 1], [5, 45])
    torch.testing.assert_close(_class_weights(learn.dls), torch.tensor([50 / (2 * 5), 50 / (2 * 45)]))
    for sizes in ([1, 3], [700, 41], [13, 999]):  # a loss of earlier versions came from these bits
        learn.dls.train_ds._plainfilm_targets = np.repeat([0, 1], sizes)
        exact = torch.tensor(np.sum(sizes) / (2 * np.array(sizes)), dtype=torch.float32)
        assert torch.equal(_class_weights(learn.dls), exact)


def keep_best(epochs):
    """Runs KeepBest over scripted (valid loss, AUROC); returns what it kept, epoch and bias of a lone layer."""
    keeper = callbacks.KeepBest()
    network = torch.nn.Linear(1, 1)
    names = ["epoch", "train_loss", "valid_loss", "accuracy", "auroc", "time"]
    for epoch, (loss, area) in enumerate(epochs):
        with torch.no_grad():
            network.bias.fill_(float(epoch))
        recorder = SimpleNamespace(values=[[0.5, loss, 0.9, area]], metric_names=names)
        keeper.learn = SimpleNamespace(recorder=recorder, epoch=epoch, model=SimpleNamespace(network=network))
        keeper.after_epoch()
    assert keeper.sha256 == hashlib.sha256(keeper.weights).hexdigest()
    return keeper.best_at[1], load(keeper.weights)["bias"].item()


@pytest.mark.parametrize(
    ("epochs", "kept"),
    [
        ([(0.5, 0.8), (0.4, 0.9), (0.3, 0.85)], 1),  # the highest AUROC, not the lowest loss or the last
        ([(0.5, 0.9), (0.4, 0.9), (0.6, 0.9)], 1),  # a tie goes to the lower valid loss
        ([(0.5, 0.9), (0.5, 0.9)], 0),  # an exact tie to the earlier epoch
    ],
)
def test_the_epoch_with_the_highest_valid_auroc_is_kept(epochs, kept):
    assert keep_best(epochs) == (kept, float(kept))


def test_a_network_that_diverges_in_the_last_step_is_caught_on_valid(learn):
    learn.model.network.head[1].register_forward_hook(lambda module, x, y: y if learn.training else y * float("nan"))
    with pytest.raises(DivergedError, match="^The loss became nan in epoch 1, on valid"):
        fit_phases(learn, [Phase(epochs=1, size_px=SIZE)])


def test_a_uselessly_large_loss_stops_training(learn):
    """Still finite, but e**-1000 is not a usable probability."""
    learn.model.network.head[1].register_forward_hook(lambda module, x, y: y * 1e6)
    with pytest.raises(DivergedError, match=r"^The loss became \d+(\.\d+)?(e\+\d+)? in ") as error:
        fit_phases(learn, [Phase(epochs=1, size_px=SIZE)])
    assert lacking(str(error.value), "epoch 1, step 1") == []


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_running_out_of_memory_says_what_to_reduce(learn, error):
    def fail(module, x, y):
        raise error("no memory")

    learn.model.network.head[1].register_forward_hook(fail)
    with pytest.raises(TrainingError, match="ran out of memory.*--batch-size") as caught:
        fit_phases(learn, [Phase(epochs=1, size_px=SIZE)])
    assert caught.value.exit_code == 5
    assert not isinstance(caught.value, DivergedError)


class Bright(torch.nn.Module):
    """A user's own module: mean brightness -> two logits; plainfilm knows nothing about it."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 2)

    def forward(self, x):
        return self.line(20 * (x.mean((1, 2, 3))[:, None] - 0.25))


def test_a_module_of_the_users_own_learns_and_is_one_group(learn, tmp_path):
    own = make_learner(learn.dls, Bright(), TrainConfig(size_px=SIZE, batch_size=8), path=tmp_path)
    own.freeze()
    assert all(parameter.requires_grad for parameter in own.model.parameters())
    own.fit_one_cycle(3, 0.1)
    assert own.recorder.values[-1][3] == 1.0  # SICK is the brighter class: AUROC
    assert len(own.opt.param_lists) == 1
    assert find_lr(own, TrainConfig(size_px=SIZE), num_it=12).lr > 0


# what only a process shows that imported nothing before; in the one below, since its start takes seconds
FRESH = """
import sys
import plainfilm
plainfilm.make_learner
from fastai.learner import Learner
Learner.fit_one_cycle, Learner.lr_find  # which fastai adds to Learner in a module of its own
import torch
from plainfilm.train.learner import _AdamW
weight = torch.nn.Parameter(torch.ones(3))
opt = _AdamW([weight], lr=0.1, fused=True)
opt.zero_grad(); weight.sum().backward(); opt.step()
assert weight[0] < 1
assert "torch._dynamo" not in sys.modules  # torch's compiler takes 1.3 s, a quarter of the time to the first step
"""


def test_a_script_sees_fastais_epoch_table_and_no_bar_in_a_pipe(tmp_path):
    code = f"""
{FRESH}
import hashlib
from pathlib import Path
import numpy as np, pandas as pd
from plainfilm import build_model, load_config, make_dls, make_learner
cfg = load_config(options={{"train.size_px": 40, "train.batch_size": 8}})
pixels = np.random.default_rng(0).integers(0, 120, (30, 40, 40), dtype=np.uint8)
rows = pd.DataFrame({{"label": ["A", "B"] * 15, "split": ["train"] * 20 + ["valid"] * 10,
                     "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels]}})
dls = make_dls(rows, pixels, cfg.train, vocab=["A", "B"])
model = build_model(cfg.model, 2, 40)
learn = make_learner(dls, model, cfg.train, path=Path({str(tmp_path)!r}))
learn.fit_one_cycle(2, 1e-3)
print("then")
learn.validate()
learn.lr_find(num_it=5, show_plot=False)
with learn.no_logging():
    learn.fit_one_cycle(1, 1e-3)
make_learner(dls, model, cfg.train, path=Path({str(tmp_path)!r}), on_event=lambda what, facts: None).fit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, first, second, *rest = done.stdout.splitlines()
    assert head.split() == ["epoch", "train_loss", "valid_loss", "accuracy", "auroc", "time"]
    for epoch, row in enumerate((first, second)):
        number, *values, clock = row.split()
        assert number == str(epoch) and all(0 <= float(value) < 5 for value in values) and ":" in clock
        assert row.index(values[0]) == head.index("train_loss")
    assert rest == ["then"]  # validate(), the rate finder, no_logging() and one's own on_event print none


def test_on_a_terminal_the_learner_has_fastais_own_progress(learn, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert type(progress.progress_of(None)) is ProgressCallback
    assert type(progress.progress_of(lambda what, facts: None)) is progress._EventProgress


def test_the_optimiser_steps_as_torchs_own_to_the_bit():
    draw = torch.Generator().manual_seed(0)
    first = [torch.randn(shape, generator=draw) for shape in ((3, 2, 3, 3), (7,))]
    made = {}
    for kind in (torch.optim.AdamW, _AdamW):
        weights = [torch.nn.Parameter(value.clone()) for value in first]
        opt = kind([{"params": weights[:1], "lr": 0.1}, {"params": weights[1:]}], lr=0.01, weight_decay=0.1, fused=True)
        for step in range(3):
            opt.zero_grad()
            sum((weight**2 * (step + 1)).sum() for weight in weights).backward()
            opt.step()
        made[kind] = [weight.detach() for weight in weights] + [opt.state[weight]["exp_avg_sq"] for weight in weights]
        assert not any(value.requires_grad for value in made[kind])
    for ours, theirs in zip(made[_AdamW], made[torch.optim.AdamW], strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(made[_AdamW][0], first[0])


def test_a_validation_pass_on_a_gpu_is_in_full_fp32_and_training_is_not(make_learn, monkeypatch):
    inside, seen = [], []

    @contextmanager
    def products(device):
        inside.append(device)
        yield
        inside.remove(device)

    class Watch(Callback):
        def after_pred(self):
            seen.append((self.training, bool(inside)))

    monkeypatch.setattr(callbacks, "full_fp32_products", products)
    make_learn().fit(2, cbs=[callbacks.ValidateInFullFp32(), Watch()])
    assert set(seen) == {(True, False), (False, True)}
    assert inside == []
