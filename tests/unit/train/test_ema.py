"""The averaged weights: the formula, and when they are in place."""

import math

import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load

from plainfilm.config import Phase
from plainfilm.train.callbacks import KeepBest, RunHistory
from plainfilm.train.checkpoint import tensors_of
from plainfilm.train.ema import weights_of
from plainfilm.train.fit import fit_phases

PHASES = [Phase(epochs=2, size_px=40, lr=2e-3)]


def state(learn):
    return {name: value.clone() for name, value in learn.model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Trace(Callback):
    """The trained weights after each step, and those that each validation saw."""

    order = 46  # after the average is updated

    def __init__(self):
        self.steps, self.validated = [], []

    def after_step(self):
        self.steps.append(state(self.learn))

    def before_validate(self):
        self.validated.append(state(self.learn))


def test_the_average_is_the_weighted_sum_worked_out_by_hand(make_learn):
    learn, trace = make_learn(ema=0.8), Trace()
    average = state(learn)
    fit_phases(learn, PHASES, cbs=[trace])
    for step, weights in enumerate(trace.steps, 1):
        decay = min(0.8, (1 + step) / (10 + step))
        average = {name: decay * value + (1 - decay) * weights[name] for name, value in average.items()}
    assert len(trace.steps) == 10
    for name, value in learn.average_weights.average.items():
        torch.testing.assert_close(value, average[name], atol=1e-6, rtol=1e-5)


def test_validation_uses_the_average_and_training_continues_from_the_trained_weights(make_learn):
    plain, averaged = make_learn(), make_learn(ema=0.8)
    one, other = Trace(), Trace()
    fit_phases(plain, PHASES, cbs=[one])
    fit_phases(averaged, PHASES, cbs=[other])
    assert all(same(a, b) for a, b in zip(one.steps, other.steps, strict=True))  # the average changes no step
    assert same(one.validated[1], one.steps[-1])
    assert not same(other.validated[1], other.steps[-1])
    assert same(other.validated[1], averaged.average_weights.average)
    assert same(state(averaged), other.steps[-1])


def test_the_best_epoch_is_kept_with_its_averaged_weights(make_learn):
    learn, best, trace = make_learn(ema=0.8), KeepBest(), Trace()
    fit_phases(learn, PHASES, cbs=[RunHistory(), best, trace])
    kept = load(best.weights)
    at = trace.validated[best.best_at[1]]
    assert all(torch.equal(kept[name.removeprefix("network.")], value) for name, value in at.items())


def test_a_state_written_while_the_average_is_in_place_holds_the_trained_weights(make_learn):
    learn = make_learn(ema=0.8)
    fit_phases(learn, PHASES)
    before = tensors_of(learn)
    before = {name: value.clone() for name, value in before.items()}
    learn.average_weights.swap()
    exchanged = tensors_of(learn)
    learn.average_weights.swap()
    assert before.keys() == exchanged.keys()
    assert all(torch.equal(before[name], exchanged[name]) for name in before)
    assert int(before["average_steps"]) == 10


@pytest.mark.parametrize("averaged", [True, False])
def test_weights_are_restored_after_an_error(make_learn, averaged):
    learn = make_learn(ema=0.8)
    fit_phases(learn, PHASES)
    before = state(learn)
    with pytest.raises(KeyError), weights_of(learn, averaged=averaged):
        assert same(state(learn), before) != averaged
        raise KeyError
    assert same(state(learn), before)


def test_predictions_of_a_fitted_learner_are_those_of_the_average(make_learn):
    learn = make_learn(ema=0.8)
    fit_phases(learn, PHASES)
    probs, _ = learn.get_preds(ds_idx=1)
    with weights_of(learn, averaged=True), torch.no_grad():
        learn.model.eval()
        direct = torch.cat([learn.model(x.as_subclass(torch.Tensor)) for x, _ in learn.dls.valid]).softmax(1)
    torch.testing.assert_close(probs.as_subclass(torch.Tensor), direct)


def test_an_interrupted_validation_and_a_kept_average_train_the_right_weights(make_learn):
    learn, twin = make_learn(ema=0.8), make_learn(ema=0.8)
    for each in (learn, twin):
        fit_phases(each, PHASES)
    trained = state(learn)

    class Break(Callback):
        def after_batch(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), learn.added_cbs([Break()]):
        learn.validate()
    assert not same(state(learn), trained)  # nothing could restore them
    for each in (learn, twin):
        fit_phases(each, PHASES)
    assert same(state(learn), state(twin))

    twin.average_weights.swap()  # as after keep: last
    kept = state(twin)
    first, _ = twin.get_preds(ds_idx=1)
    second, _ = twin.get_preds(ds_idx=1)
    assert torch.equal(first, second)
    assert same(state(twin), kept)


def test_smoothed_labels_and_clipped_gradients_are_what_is_minimised(make_learn):
    learn = make_learn(label_smoothing=0.1)
    logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    p = 1 / (1 + math.exp(-2.0))
    expected = -(0.95 * math.log(p) + 0.05 * math.log(1 - p))
    assert float(learn.loss_func(logits, targets)) == pytest.approx(expected, rel=1e-5)

    norms = []

    class Norm(Callback):
        order = 90  # after the clipping

        def before_step(self):
            norms.append(float(torch.stack([p.grad.norm() for p in self.model.parameters()]).norm()))

    fit_phases(make_learn(), PHASES[:1], cbs=[Norm()])
    assert max(norms) > 0.05
    norms.clear()
    fit_phases(make_learn(clip=0.05), PHASES[:1], cbs=[Norm()])
    assert max(norms) <= 0.05 * (1 + 1e-4)
