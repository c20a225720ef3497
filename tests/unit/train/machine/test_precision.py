"""bf16 in training steps and nowhere else; chosen, refused and carried through a resume.

The arithmetic runs on any machine, through torch's emulation where the processor has none; the tests say that it is
native there.
"""

import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig, Phase, TrainConfig, load_config
from plainfilm.errors import ConfigError, MissingError
from plainfilm.models.build import build_model
from plainfilm.train.estimate import estimate_time
from plainfilm.train.fit import find_lr, fit_phases
from plainfilm.train.learner import make_learner
from plainfilm.train.machine import precision
from plainfilm.train.machine.precision import bf16_support, choose_precision, require_precision
from wording import lacking

PHASES = [Phase(epochs=1, size_px=40, lr=2e-3)]


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setattr(precision, "bf16_support", lambda device: (True, "the test says so"))


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(precision, "bf16_support", lambda device: (False, "this processor has no such thing"))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, (True, "this processor has AVX-512 BF16")),
        ({"avx512_bf16": False, "amx_bf16": True}, (True, "this processor has AMX")),
        ({"avx512_bf16": True, "amx_bf16": True}, (True, "this processor has AVX-512 BF16 and AMX")),
        # these are no arithmetic in bfloat16 for a whole network
        ({"avx512_f": True, "amx_tile": True, "amx_int8": True, "avx_ne_convert": True}, (False, "neither AVX-512 BF16 nor AMX")),
        ({}, (False, "a step would take 11 to 34 times as long")),
    ],
)  # fmt: skip
def test_a_processor_has_bf16_where_torch_reports_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    found = bf16_support("cpu")
    assert found[0] is expected[0] and expected[1] in found[1]


def test_a_torch_that_reports_no_capabilities_has_no_bf16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert bf16_support("cpu")[0] is False


@pytest.mark.parametrize("native", [True, False])
def test_emulation_on_a_gpu_does_not_count(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert bf16_support("cuda")[0] is native
    assert bf16_support("mps") == (False, "bfloat16 is not offered on mps")


@pytest.mark.parametrize(("asked", "found"), [("fp32", "fp32"), ("bf16", "bf16"), ("auto", "bf16")])
def test_with_bf16_it_is_taken_where_asked_for(native, asked, found):
    assert choose_precision(TrainConfig(precision=asked), "cpu").name == found


def test_without_bf16_auto_is_fp32_and_says_why_and_bf16_is_refused(missing):
    assert choose_precision(TrainConfig(precision="auto"), "cpu") == ("fp32", "this processor has no such thing")
    with pytest.raises(
        MissingError, match=r"^--precision bf16: this processor has no such thing\. Use --precision fp32"
    ):
        choose_precision(TrainConfig(precision="bf16"), "cpu")
    with pytest.raises(MissingError) as error:
        require_precision("RUN", "bf16", "cpu")
    assert (
        lacking(str(error.value), "The run RUN began in bf16", "this processor has no such thing", "--precision fp32")
        == []
    )
    require_precision("RUN", "fp32", "cpu")


def test_a_head_alone_is_trained_in_fp32(native):
    assert choose_precision(TrainConfig(precision="auto", freeze=True), "cpu").name == "fp32"
    assert choose_precision(TrainConfig(precision="auto", freeze_epochs=1), "cpu").name == "bf16"
    with pytest.raises(ConfigError, match="precision: bf16 would change nothing; freeze trains only the head"):
        load_config(options={"train.precision": "bf16", "train.freeze": True})


def dtypes(learn):
    """What the convolutions, the loss and the saved tensors are computed in: a set for each, filled while it trains."""
    seen = {"train": set(), "valid": set(), "pixels": set(), "loss": set()}

    def conv(module, given, made):
        seen["train" if module.training else "valid"].add(made.dtype)

    def network(module, given):
        seen["pixels"].add(given[0].dtype)

    def loss(pred, targs, whole=learn.loss_func):
        seen["loss"].add(pred.dtype)
        return whole(pred, targs)

    for module in learn.model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(conv)
    learn.model.network.register_forward_pre_hook(network)
    learn.loss_func = loss
    return seen


@pytest.mark.parametrize(("name", "steps"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_only_the_network_of_training_steps_runs_in_bf16(make_learn, native, name, steps):
    learn = make_learn(precision=name)
    seen = dtypes(learn)
    fit_phases(learn, PHASES)
    assert seen == {"train": {steps}, "valid": {torch.float32}, "pixels": {torch.float32}, "loss": {torch.float32}}
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    state = [value for slots in learn.opt.opt.state.values() for value in slots.values()]
    assert len(state) == 3 * len(list(learn.model.parameters())) and {value.dtype for value in state} == {torch.float32}


def test_bf16_trains_to_other_weights_and_is_scored_as_an_fp32_network(make_learn, native):
    a, b = make_learn(precision="fp32"), make_learn(precision="bf16")
    for learn in (a, b):
        fit_phases(learn, PHASES)
    first, second = (next(learn.model.parameters()).detach() for learn in (a, b))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second, atol=2e-2, rtol=0)
    b.model.eval()
    x = torch.rand(4, 1, 40, 40)
    in_bf16 = b.model(x)
    a.model.load_state_dict(b.model.state_dict())
    assert torch.equal(in_bf16, a.model.eval()(x))


def test_the_finder_and_the_estimate_step_in_the_precision_of_the_training(make_learn, native):
    learn = make_learn(precision="bf16")
    seen = []
    learn.model.network.features[0].register_forward_hook(lambda module, given, made: seen.append(made.dtype))
    estimate_time(learn, PHASES)
    assert set(seen) == {torch.bfloat16}
    seen.clear()
    find_lr(learn, TrainConfig(size_px=40, batch_size=8, precision="bf16"), num_it=4)
    assert torch.bfloat16 in seen


@pytest.mark.parametrize("name", ["paper", "paper-gap", "compact"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_of_ours_has_gradients_in_bf16_near_those_of_fp32(name, channels):
    options = {"filters": (4, 8), "dense": 8, "dense_dropout": 0} if name != "compact" else {}
    found = []
    for which in ("fp32", "bf16"):
        model = build_model(ModelConfig(name=name, dropout=0, **options), 2, 40, channels=channels)
        model.precision = which
        model.train()(
            torch.rand(8, channels, 40, 40, generator=torch.Generator().manual_seed(1))
        ).square().sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    fp32, bf16 = found
    assert not torch.equal(fp32, bf16)
    assert float((fp32 - bf16).norm() / fp32.norm()) < 0.05


def test_a_network_of_ones_own_is_told_to_use_autocast_itself(make_learn, native, tmp_path):
    dls, own = make_learn().dls, nn.Sequential(nn.Flatten(), nn.Linear(1600, 2))
    with pytest.raises(ConfigError, match=r"^train.precision: bf16 is for the networks of build_model\(\)"):
        make_learner(dls, own, TrainConfig(size_px=40, precision="bf16"), path=tmp_path)
    make_learner(dls, own, TrainConfig(size_px=40), path=tmp_path)
