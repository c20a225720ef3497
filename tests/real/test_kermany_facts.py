"""What is known of the Kermany set, found again by our own table and splits."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import count, leaks, make_split
from plainfilm.data.table.image_table import build_table
from plainfilm.evaluate.metrics.measure import measure
from plainfilm.pipeline.prepare import pick_positive


def test_every_image_is_used_and_counted(table):
    counts = count(table, make_split(table, DataConfig(split="official"), seed=0))
    assert (counts.found, counts.used, counts.quarantined, counts.ignored) == (5840, 5840, 0, 0)
    assert counts.classes == {"NORMAL": 1575, "PNEUMONIA": 4265}
    assert counts.splits["test"].classes == {"NORMAL": 234, "PNEUMONIA": 390}
    test = counts.splits["test"]
    assert (test.patient_keys, test.patients) == (428, 427)  # one image is there under two keys
    assert counts.splits["train"].images + counts.splits["valid"].images == 5216
    assert pick_positive(table.classes, DataConfig()) == "PNEUMONIA"
    assert table.channels == 1  # stored as RGB, grey in fact


def test_identical_files_form_thirty_groups_of_one_class_and_folder(table):
    groups = table.rows.groupby("sha256").filter(lambda group: len(group) > 1).groupby("sha256")
    assert groups.ngroups == 30
    surplus = table.rows[table.rows["duplicate_of"] != ""]
    assert len(surplus) == 32
    assert (surplus["given"] == "test").sum() == 6
    assert (groups["label"].nunique() == 1).all()
    assert (groups["given"].nunique() == 1).all()
    two_names = groups["patient"].nunique()
    assert (two_names > 1).sum() == 1  # NORMAL2-IM-0095 and -0096


def test_the_subtype_key_has_no_overlap_and_the_number_alone_170(table):
    train, test = (table.rows[table.rows["given"] == name] for name in ("train", "test"))
    assert set(train["patient"]) & set(test["patient"]) == set()
    person = [set(rows.loc[rows["wide"].str.startswith("person"), "wide"]) for rows in (train, test)]
    assert len(person[0] & person[1]) == 170
    assert not leaks(make_split(table, DataConfig(split="official"), seed=0).rows)


@pytest.mark.parametrize("seed", range(3))
def test_our_own_split_keeps_patients_numbers_and_copies_together(table, seed):
    split = make_split(table, DataConfig(), seed)
    rows = split.rows
    assert not leaks(rows)
    persons = rows[rows["wide"] != ""]
    assert (persons.groupby(["given", "wide"])["split"].nunique() == 1).all()
    shares = rows["split"].value_counts(normalize=True)
    assert [abs(shares[name] - wish) < 0.02 for name, wish in (("train", 0.6), ("valid", 0.25), ("test", 0.15))] == [
        True
    ] * 3
    per_patient = rows.groupby("split").apply(lambda part: len(part) / part["group"].nunique())
    assert per_patient.max() / per_patient.min() < 1.05  # patients with many films are spread like the others
    prior = rows.groupby("split")["label"].apply(lambda label: (label == "PNEUMONIA").mean())
    assert prior.max() - prior.min() < 0.01


def test_an_image_level_split_shares_a_patient_for_40_to_50_percent_of_pneumonia_test_images(table):
    shared = []
    for seed in range(10):
        rows = make_split(table, DataConfig(split="image"), seed).rows
        train = set(rows.loc[rows["split"] == "train", "patient"])
        test = rows[(rows["split"] == "test") & (rows["label"] == "PNEUMONIA")]
        shared.append(test["patient"].isin(train).mean())
    assert 0.40 < np.mean(shared) < 0.50
    assert all(0.35 < share < 0.55 for share in shared)


def test_the_official_test_set_has_its_patients_in_every_metric(table):
    test = make_split(table, DataConfig(split="official"), seed=0).of("test")
    targs = (test["label"] == "PNEUMONIA").to_numpy().astype(int)
    score = np.random.default_rng(0).uniform(0.2, 0.8, len(test)) * 0.5 + targs * 0.2
    found = measure(
        np.stack([1 - score, score], axis=1), targs, clusters=test["group"].to_numpy(), patients=test["patient"].to_numpy(),
        positive=1, threshold=0.5, n_boot=200,
    )  # fmt: skip
    assert (found["accuracy"].n, found["accuracy"].n_patients) == (624, 427)  # of 428 keys
    assert (found["sensitivity"].n, found["specificity"].n) == (390, 234)
    assert found["auroc"].ci_low < found["auroc"].value < found["auroc"].ci_high


def test_original_files_are_all_decoded_grey_and_upright(originals):
    table = build_table(originals, DataConfig())
    assert table.found == len(table.rows) == 340
    colour_stored = table.rows[table.rows["mode"] == "RGB"]
    assert set(colour_stored["label"]) == {"PNEUMONIA"}  # the class can be read off the file
    assert table.channels == 1
    pixels = decode_rows(table.rows.iloc[:40], DecodeSpec(96))[:]
    assert pixels.shape == (40, 96, 96)
    assert pixels.reshape(40, -1).std(axis=1).min() > 20
