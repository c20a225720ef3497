"""A state read back from disk is bit-identical, or is refused."""

from __future__ import annotations

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


@pytest.mark.parametrize("key", sorted(ck.State.model_fields))
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
    import hashlib

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


def test_before_the_first_state_there_is_none_and_a_missing_one_is_reported(run, trained):
    assert ck.read_checkpoint(run, START) is None
    run.state.parent.mkdir()
    run.state_tensors(1).write_bytes(save(ck.tensors_of(trained)))
    assert ck.read_checkpoint(run, START) is None  # a kill between the first two files
    run.history.write_text("phase\n")
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
