"""Features of a frozen network are kept by what made them: a second training computes none, and reads no others."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from plainfilm.config import ModelConfig, Phase, SpeedConfig, TrainConfig
from plainfilm.data.cache.admin import clear, entries
from plainfilm.data.cache.features import FeatureCache
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.train.callbacks import weights_bytes
from plainfilm.train.fit import fit_phases
from plainfilm.train.frozen_features import hold_features

GAP = ModelConfig(name="paper-gap", filters=(4, 8), kernel=3, dense=8)
FROZEN = Phase(epochs=3, size_px=40, freeze=True, lr=1e-2)
ROWS = [f"{i:064x}" for i in range(72)]
SPEC = DecodeSpec(40)
TRAIN, PARTS = 40, 2  # the fixture's train rows come first; they and the 32 others are a block each


@pytest.fixture
def cached(make_learn, fresh_cache):
    """cached(...): a Learner with a FeatureCache; `passes` counts images through the network, `notes` what it says."""

    def make(rows=ROWS, spec=SPEC, network=None, **more):
        learn = make_learn(model=GAP, **more)
        learn.passes, learn.notes = [], []
        facts = network or GAP.model_dump(mode="json", exclude={"weights"})
        learn.feature_cache = FeatureCache(rows, spec, facts, lambda what, said: learn.notes.append(said["text"]))
        first = next(m for m in learn.model.network.modules() if isinstance(m, torch.nn.Conv2d))
        first.register_forward_hook(lambda module, given, made: learn.passes.append(len(made)))
        return learn

    return make


def blocks(fresh_cache):
    return sorted(fresh_cache.glob("features/*/*.npy"))


def test_a_second_training_passes_no_image_and_ends_with_the_same_bytes(cached, fresh_cache):
    first, second, without = cached(), cached(), cached()
    del without.feature_cache
    for learn in (first, second, without):
        fit_phases(learn, [FROZEN])
    assert [sum(learn.passes) for learn in (first, second, without)] == [72, 0, 72]
    assert weights_bytes(second.model) == weights_bytes(first.model) == weights_bytes(without.model)
    assert first.notes == second.notes == []
    assert len(blocks(fresh_cache)) == PARTS


def test_runs_with_other_train_images_share_the_features_of_valid(cached, fresh_cache):
    hold_features(first := cached())
    hold_features(other := cached(rows=["e" * 64, *ROWS[1:]]))
    assert sum(other.passes) == TRAIN
    assert (other.dls.train.features == first.dls.train.features).all()
    assert len(blocks(fresh_cache)) == PARTS + 1


def test_no_batch_holds_train_images_and_others(cached):
    """Else the last bits of a valid image's features would depend on how many images are trained on."""
    hold_features(learn := cached())
    assert learn.passes == [TRAIN, 72 - TRAIN]


def test_training_the_head_on_does_not_change_its_features(cached):
    """A resumed run has the head of its state, and the weights in front of it as they were."""
    fit_phases(learn := cached(), [FROZEN])
    assert sum(learn.passes) == 72
    fit_phases(learn, [FROZEN])
    assert sum(learn.passes) == 72


def change_weight(learn):
    with torch.no_grad():
        learn.model.network.blocks[1][0].weight[0, 0, 0, 0] += 1e-6


def change_statistics(learn):
    learn.model.network.blocks[0][2].running_var[1] += 1e-6


def change_normalisation(learn):
    learn.model.mean += 0.01


def standardise(learn):
    learn.model.standardise = True


@pytest.mark.parametrize("change", [change_weight, change_statistics, change_normalisation, standardise])
def test_other_weights_or_another_normalisation_give_other_features(cached, fresh_cache, change):
    hold_features(cached())
    other = cached()
    change(other)
    hold_features(other)
    assert sum(other.passes) == 72
    assert len(blocks(fresh_cache)) == 2 * PARTS


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"rows": [*ROWS[:-1], "f" * 64]}, 72 - TRAIN),
        ({"rows": [ROWS[1], ROWS[0], *ROWS[2:]]}, TRAIN),
        ({"spec": DecodeSpec(48)}, 72),
        ({"spec": dataclasses.replace(SPEC, resize="pad")}, 72),
        ({"network": {"name": "paper-gap", "kernel": 5}}, 72),
    ],
    ids=["another image", "another order", "another size", "another resize", "another network"],
)
def test_other_images_or_another_preprocessing_give_other_features(cached, change, passes):
    hold_features(cached())
    other = cached(**change)
    hold_features(other)
    assert sum(other.passes) == passes


def test_an_image_that_is_there_twice_has_two_rows(cached):
    rows = [ROWS[1], *ROWS[1:]]
    hold_features(first := cached(rows=rows))
    hold_features(second := cached(rows=rows))
    assert second.passes == []
    assert (first.dls.train.features == second.dls.train.features).all()
    assert (second.dls.train.features[0] != second.dls.train.features[1]).any()


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def change_index(path):
    index = path.with_suffix(".json")
    index.write_text(index.read_text().replace(f"0:{ROWS[0]}", f"0:{ROWS[7]}"))


def exchange_rows(path):
    """The index of a forger who leaves its own checksum: two images in each other's place."""
    index = path.with_suffix(".json")
    found = json.loads(index.read_text())
    rows = found["block"]["rows"]
    rows[0][1], rows[1][1] = rows[1][1], rows[0][1]
    index.write_text(json.dumps(found))


@pytest.mark.parametrize(("damage", "noted"), [(flip, 1), (cut, 0), (change_index, 0), (exchange_rows, 0)])
def test_damaged_features_are_computed_again(cached, fresh_cache, damage, noted):
    hold_features(first := cached())
    damage(max(blocks(fresh_cache), key=lambda path: path.stat().st_size))  # that of the train rows
    hold_features(second := cached())
    assert sum(second.passes) == TRAIN
    assert second.notes == ["Features in the cache were damaged; they are computed again."] * noted
    assert second.dls.train.features.tobytes() == first.dls.train.features.tobytes()
    hold_features(third := cached())
    assert third.passes == []


def test_a_cache_that_cannot_be_written_is_noted_and_training_goes_on(cached, fresh_cache):
    fresh_cache.mkdir()
    (fresh_cache / "features").write_text("a file where the folder would be")
    fit_phases(learn := cached(), [FROZEN])
    assert len(learn.notes) == 1
    assert learn.notes[0].startswith("The cache cannot be written (")


def test_a_full_disk_keeps_none(cached, fresh_cache, monkeypatch):
    monkeypatch.setattr("plainfilm.data.cache.store.Store.has_room_for", lambda self, size: False)
    hold_features(learn := cached())
    assert learn.notes == ["The cache cannot be written (the disk is nearly full); features are kept in memory only."]
    assert blocks(fresh_cache) == []


def test_they_are_listed_and_cleared(cached, fresh_cache):
    hold_features(cached())
    (entry,) = entries(fresh_cache)
    assert entry.what == "features by paper-gap of 72 images, 40 px, grey, squish"
    assert entry.files == 2 * PARTS and entry.bytes > 72 * 8 * 4
    clear(fresh_cache)
    assert entries(fresh_cache) == []
    hold_features(learn := cached())
    assert sum(learn.passes) == 72


def test_every_setting_of_training_is_known_not_to_change_features():
    """A new one, such as another precision, must join what FeatureCache or _made_by() compares, or this list."""
    irrelevant = {
        "epochs", "batch_size", "lr", "wd", "seed", "augment", "balance", "class_weights", "label_smoothing", "clip",
        "ema", "recipe", "freeze", "freeze_epochs", "freeze_lr", "lr_ratio", "norm", "keep", "phases", "size_px", "speed", "gpu", "precision",
    }  # fmt: skip
    compared = {"channels_last", "threads", "grey_first_layer"}  # memory_format, threads, as_grey
    same_bits = {
        "allocator",
        "pool_first",
        "fused",
        "plain_tensors",
        "gather",
        "grey_augment",
        "packed_masks",
        "backbone_masks",
    }
    assert set(TrainConfig.model_fields) == irrelevant
    assert set(SpeedConfig.model_fields) == compared | same_bits
