"""A state read back from disk is bit-identical, or is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from plainfilm.config import Phase
from plainfilm.errors import DataError, DivergedError
from plainfilm.runs.folder import RunDir
from plainfilm.train import checkpoint as ck
from plainfilm.train.fit import fit_phases
from wording import lacking

START = "of this run"
FACTS = {
    "number": 1, "start_sha256": START, "lr": None, "seconds": 1.5, "phase": 0, "epoch": 1, "step": 3, "pct_train": 0.3,
    "train_iter": 8, "hypers": [{"lr": 0.1 + 0.2, "mom": 0.95}], "smooth_count": 8, "smooth_value": 0.7, "seen": 24,
    "right": 13, "loss_sum": 1 / 3, "epoch_seconds": 0.5, "best": None,
    "history": [{"phase": 0, "epoch": 0, "valid_auroc": 1.0, "train_loss": 1e-17}], "timing": [],
}  # fmt: skip

BEST = {"phase": 0, "epoch": 0, "auroc": 0.1 + 0.2, "valid_loss": 1 / 3, "sha256": "0" * 64}


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.make()
    return run


@pytest.fixture
def trained(make_learn):
    learn = make_learn()
    fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3)])
    return learn


@pytest.fixture
def written(run, trained):
    ck.write_checkpoint(run, FACTS, ck.tensors_of(trained))
    return run


def refused(run, what):
    with pytest.raises(DataError, match=f"^The checkpoint of .* cannot be used: .*{what}") as error:
        ck.read_checkpoint(run, START)
    assert error.value.exit_code == 2


def sign(run, state, **more):
    run.state.write_text(json.dumps({"sha256": ck._digest(state), "state": state, **more}))


def moments(learn):
    return {
        (name, slot): value
        for name, p in learn.model.named_parameters()
        for slot, value in learn.opt.opt.state[p].items()
    }


def test_weights_and_moments_are_restored_bit_identical_and_in_the_same_layout(written, trained, make_learn):
    other = make_learn(seed=5)
    ck.restore(other, ck.read_checkpoint(written, START).tensors, written)
    assert other.model.state_dict().keys() == trained.model.state_dict().keys()
    for name, value in trained.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value), name
    before, after = moments(trained), moments(other)
    assert before.keys() == after.keys() and len(after) == 3 * len(list(trained.model.parameters()))
    for key, value in before.items():
        assert torch.equal(after[key], value), key
        assert (after[key].dtype, after[key].stride()) == (value.dtype, value.stride()), key
    strides = [value.is_contiguous() for (name, slot), value in after.items() if slot == "exp_avg"]
    assert not all(strides)  # some parameter is channels_last, else this test shows nothing


def test_the_next_steps_are_the_same_as_without_the_stop(written, trained, make_learn):
    other = make_learn(seed=5)
    ck.restore(other, ck.read_checkpoint(written, START).tensors, written)
    for learn in (trained, other):
        fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3)])
    for name, value in trained.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value), name


def test_moments_in_another_layout_would_be_updated_at_wrong_places(written, trained, make_learn):
    """The trap that restore() avoids: fused AdamW walks raw memory. If torch fixes it, this test fails."""
    other = make_learn(seed=5)
    ck.restore(other, ck.read_checkpoint(written, START).tensors, written)
    for p in other.model.parameters():
        slots = other.opt.opt.state[p]
        slots["exp_avg"], slots["exp_avg_sq"] = slots["exp_avg"].contiguous(), slots["exp_avg_sq"].contiguous()
    for learn in (trained, other):
        fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3)])
    same = [torch.equal(other.model.state_dict()[name], value) for name, value in trained.model.state_dict().items()]
    assert not all(same)


def test_every_number_of_a_state_is_restored_exactly(written):
    state = ck.read_checkpoint(written, START).state
    for name, value in FACTS.items():
        assert getattr(state, name) == value, name
    assert [type(value) for value in state.history[0].values()] == [int, int, float, float]


def test_the_best_epoch_is_restored_exactly(written, trained):
    ck.write_checkpoint(written, {**FACTS, "best": ck.Best(**BEST)}, ck.tensors_of(trained))
    assert ck.read_checkpoint(written, START).state.best.model_dump() == BEST


def test_the_hash_in_last_json_ignores_the_order_of_keys_and_the_spacing(written):
    """Worked out by hand: a later version must still read the states of this one."""
    assert ck._digest({"b": None, "a": [1, 2.5]}) == hashlib.sha256(b'{"a":[1,2.5],"b":null}').hexdigest()
    before, found = ck.read_checkpoint(written, START).state, json.loads(written.state.read_text())
    written.state.write_text(json.dumps({**found, "state": dict(sorted(found["state"].items()))}, indent=7))
    assert ck.read_checkpoint(written, START).state == before


@pytest.mark.parametrize("key", sorted(ck.State.model_fields.keys() - {"estimate_seconds"}))
def test_a_state_without_one_of_its_keys_is_refused(written, key):
    state = json.loads(written.state.read_text())["state"]
    del state[key]
    sign(written, state)
    refused(written, f"last.json: {key}: Field required")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"step": "3"}, "step"),
        ({"epoch": 1.5}, "epoch"),
        ({"pct_train": None}, "pct_train"),
        ({"also": 1}, "also: Extra inputs"),
        ({"schema_version": 2}, "schema_version"),
        ({"start_sha256": "another"}, "belong to different runs"),
        ({"number": 7}, "last-7.safetensors is missing"),
        ({"tensors_sha256": "0" * 64}, "not the file"),
        ({"best": {**BEST, "epoch": "0"}}, "last.json: best.epoch: "),
        ({"best": {**BEST, "also": 1}}, "last.json: best.also: Extra inputs"),
        ({"best": {"phase": 0}}, "last.json: best.epoch: Field required"),
        ({"hypers": [{"lr": 0.1}, {"lr": None}]}, "last.json: hypers.1.lr: "),
    ],
)
def test_a_state_with_a_wrong_value_is_refused(written, change, what):
    sign(written, {**json.loads(written.state.read_text())["state"], **change})
    refused(written, what)


def test_an_unsigned_state_is_refused(written):
    found = json.loads(written.state.read_text())
    found["state"]["step"] = 4
    written.state.write_text(json.dumps(found))
    refused(written, "changed after it was written")
    sign(written, found["state"], note="more")
    refused(written, "changed after it was written")
    for text in ("", "[]", "{", "null", '{"state": {}}'):
        written.state.write_text(text)
        refused(written, "last.json")


def test_flipped_bits_are_refused_wherever_they_are(written):
    """100 single bits of each file; of last.json, an e of a number may become E, which is the same number."""
    rng, before = np.random.default_rng(0), ck.read_checkpoint(written, START)
    for path in (written.state, written.state_tensors(1)):
        whole, refused_bits = path.read_bytes(), 0
        for place in rng.integers(0, len(whole), 100):
            bent = bytearray(whole)
            bent[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(bent)
            try:
                assert ck.read_checkpoint(written, START).state == before.state
            except DataError:
                refused_bits += 1
        assert refused_bits >= 99
        path.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_cut_tensors_file_is_refused(written, length):
    path = written.state_tensors(1)
    path.write_bytes(path.read_bytes()[:length])
    refused(written, "not the file")


@pytest.fixture
def averaged(make_learn):
    learn = make_learn(ema=0.8)
    fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3)])
    return learn


def test_the_average_and_its_steps_are_restored_bit_identical_and_in_the_same_layout(run, averaged, make_learn):
    ck.write_checkpoint(run, FACTS, ck.tensors_of(averaged))
    other = make_learn(seed=5, ema=0.8)
    ck.restore(other, ck.read_checkpoint(run, START).tensors, run)
    before, after = averaged.average_weights, other.average_weights
    assert before.average.keys() == after.average.keys() == averaged.model.state_dict().keys()
    for name, value in averaged.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value), name
        assert torch.equal(after.average[name], before.average[name]), name
        assert after.average[name].stride() == value.stride(), name
    assert not all(torch.equal(after.average[name], value) for name, value in other.model.state_dict().items())
    assert (after.steps, after.in_use) == (5, False)


def test_a_state_without_its_average_and_one_with_an_average_that_nobody_wants_are_refused(
    run, trained, averaged, make_learn
):
    """Each tensor of the average in turn; the refused learner is unchanged."""
    whole, plain = ck.tensors_of(averaged), ck.tensors_of(trained)
    surplus = sorted(whole.keys() - plain.keys())
    assert len(surplus) == 1 + len(averaged.model.state_dict())
    cases = [({k: v for k, v in whole.items() if k != name}, 0.8, f"{name} is missing") for name in surplus]
    cases += [({**whole, name: torch.zeros(2, 2, 2)}, 0.8, rf"{name} is .*\(2, 2, 2\); expected") for name in surplus]
    cases += [({**whole, "average_steps": torch.tensor(5.0)}, 0.8, "average_steps is torch.float32")]
    cases += [(plain, 0.8, "average.* is missing"), (whole, 0.0, "average.* belongs to no trained parameter")]
    for tensors, ema, what in cases:
        other = make_learn(seed=5, ema=ema)
        before = {name: value.clone() for name, value in other.model.state_dict().items()}
        with pytest.raises(DataError, match=what):
            ck.restore(other, tensors, run)
        assert all(torch.equal(before[name], value) for name, value in other.model.state_dict().items())
        assert not ema or other.average_weights.steps == 0


def test_tensors_are_copied_only_while_the_average_is_in_place(averaged):
    """Then they would become the average when the network gets it back; else a copy only costs memory."""
    parameter = averaged.model.network.head[1].bias
    name, trained = "model.network.head.1.bias", parameter.detach().clone()
    assert ck.tensors_of(averaged)[name].data_ptr() == parameter.data_ptr()
    averaged.average_weights.swap()
    found = ck.tensors_of(averaged)
    assert not torch.equal(parameter, trained)  # the average is in place again
    assert torch.equal(found[name], trained)
    assert torch.equal(found["average.network.head.1.bias"], parameter)


def test_parameters_that_are_frozen_have_no_moments(run, make_learn):
    learn, other = make_learn(), make_learn(seed=5)
    fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3, freeze=True)])
    other.freeze()
    trained = {name for name, p in other.model.named_parameters() if p.requires_grad}
    assert trained == {"network.head.4.weight", "network.head.4.bias"}
    tensors = ck.tensors_of(learn)
    assert tensors.keys() - {f"model.{name}" for name in learn.model.state_dict()} == {
        f"{slot}.{name}" for slot in ("step", "exp_avg", "exp_avg_sq") for name in trained
    }
    ck.write_checkpoint(run, FACTS, tensors)
    ck.restore(other, ck.read_checkpoint(run, START).tensors, run)
    for name, value in learn.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value), name
    before, after = moments(learn), moments(other)
    assert before.keys() == after.keys() and len(after) == 6
    assert all(torch.equal(after[key], value) for key, value in before.items())
    with pytest.raises(DataError, match="exp_avg.network.features.0.bias is missing"):  # here it is trained
        ck.restore(make_learn(), tensors, run)


@pytest.mark.parametrize(("fused", "where"), [(True, "meta"), (False, "cpu")])
@pytest.mark.filterwarnings("ignore:.*is a no-op:UserWarning")  # torch, of weights that are loaded into no memory
def test_the_step_count_is_beside_the_parameter_only_where_adamw_is_fused(
    written, make_learn, monkeypatch, fused, where
):
    """The device meta is here for an accelerator: torch's AdamW keeps the count on the CPU unless it is fused."""
    other = make_learn(seed=5, speed={"fused": fused})
    other.create_opt()
    assert other.opt.opt.defaults["fused"] is fused
    other.model.to("meta")
    ck.restore(other, ck.read_checkpoint(written, START).tensors, written)
    for p in other.model.parameters():
        slots = other.opt.opt.state[p]
        assert (p.device.type, slots["exp_avg"].device.type, slots["step"].device.type) == ("meta", "meta", where)


def test_missing_surplus_and_wrongly_typed_tensors_are_refused(written, trained, make_learn):
    """Each in turn, with a matching hash."""
    whole = load_file(written.state_tensors(1))
    cases = [({k: v for k, v in whole.items() if k != name}, f"{name} is missing") for name in whole]
    cases += [({**whole, "exp_avg.network.other": torch.zeros(1)}, "belongs to no trained parameter")]
    cases += [({**whole, "more": torch.zeros(1)}, "more belongs to no")]
    for name in ("model.network.head.1.weight", "exp_avg_sq.network.features.0.weight", "step.network.head.1.bias"):
        cases += [({**whole, name: whole[name].double()}, f"{name} is torch.float64")]
        cases += [({**whole, name: torch.zeros(2, 2, 2)}, r"\(2, 2, 2\); expected")]
    assert len(cases) == 4 * 10 + 8
    other = make_learn(seed=5)
    for tensors, what in cases:
        with pytest.raises(DataError, match=what):
            ck.restore(other, tensors, written)


def test_a_file_that_is_not_safetensors_is_refused_despite_a_matching_hash(written):
    data = b"\x00" * 64
    written.state_tensors(1).write_bytes(data)
    state = json.loads(written.state.read_text())["state"]
    sign(written, {**state, "tensors_sha256": hashlib.sha256(data).hexdigest()})
    refused(written, "holds no tensors")


def test_a_kill_between_the_two_files_leaves_the_previous_state(written, trained):
    before = ck.read_checkpoint(written, START)
    written.state_tensors(2).write_bytes(save(ck.tensors_of(trained)))
    found = ck.read_checkpoint(written, START)
    assert found.state == before.state
    assert [path.name for path in written.root.glob("checkpoints/last-*")] == ["last-1.safetensors"]


def test_a_new_state_replaces_the_old_one(written, trained):
    ck.write_checkpoint(written, {**FACTS, "number": 2, "step": 4}, ck.tensors_of(trained))
    assert ck.read_checkpoint(written, START).state.step == 4
    assert [path.name for path in written.root.glob("checkpoints/last-*")] == ["last-2.safetensors"]


def test_older_tensors_that_cannot_be_removed_do_no_harm(written):
    stuck = written.state_tensors(0)
    stuck.mkdir()  # no file system removes a folder as a file
    assert ck.read_checkpoint(written, START).state.number == 1
    assert stuck.is_dir()


def test_before_the_first_state_there_is_none_and_a_missing_one_is_reported(run, trained):
    assert ck.read_checkpoint(run, START) is None
    run.state.parent.mkdir()
    run.state_tensors(1).write_bytes(save(ck.tensors_of(trained)))
    assert ck.read_checkpoint(run, START) is None  # a kill between the first two files
    run.history.write_text("phase\n")
    refused(run, "last.json is missing")
    run.history.unlink()
    run.checkpoint("best").write_bytes(b"")  # a best epoch has ended, so there was a state
    refused(run, "last.json is missing")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weights", "moments"])
def test_no_nan_or_infinity_reaches_the_disk(run, trained, value, where):
    with torch.no_grad():
        weight = trained.model.network.head[1].weight
        (weight if where == "weights" else trained.opt.opt.state[weight]["exp_avg_sq"])[0, 0] = value
    with pytest.raises(DivergedError) as error:
        ck.write_checkpoint(run, FACTS, ck.tensors_of(trained))
    assert lacking(str(error.value), "weights", "moments", "NaN or infinite", "epoch 2") == []
    assert list(run.root.iterdir()) == []
