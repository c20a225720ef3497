"""The shortcuts and the copies that are known to be in the Kermany set, found again."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.audit.near_duplicates import near_groups, near_pairs, perceptual_hashes
from plainfilm.data.audit.probes import PROBES, cross_validated, file_features, fit_and_score, image_statistics
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import grouped
from plainfilm.data.table.image_table import build_table
from plainfilm.evaluate.shortcuts.probe_baseline import _best_probe
from plainfilm.evaluate.shortcuts.shortcut_warning import raises_banner, shortcut_metric


def pneumonia(rows: pd.DataFrame) -> np.ndarray:
    return (rows["label"] == "PNEUMONIA").to_numpy().astype(int)


@pytest.fixture(scope="module")
def rows(table):
    return grouped(table.rows, wide=True)


@pytest.fixture(scope="module")
def pixels(rows):
    return decode_rows(rows, DecodeSpec(224))


@pytest.fixture(scope="module")
def features(rows, pixels):
    return {"file facts": file_features(rows), **image_statistics(pixels)}


def facts_by_pillow(path: str) -> dict[str, int]:
    with Image.open(path) as image:
        tables = getattr(image, "quantization", {})
        return {"channels": len(image.getbands()), "quantisation": sum(sum(table) for table in tables.values())}


def test_the_original_files_give_the_class_away_without_their_pixels(originals):
    rows = grouped(build_table(originals, DataConfig()).rows, wide=True)
    told = pd.DataFrame([facts_by_pillow(path) for path in rows["path"]], index=rows.index)
    rows = rows.assign(channels=told["channels"], quantisation=told["quantisation"])
    probs = cross_validated(file_features(rows), pneumonia(rows), rows["group"].to_numpy())
    found = shortcut_metric(probs, pneumonia(rows), rows["group"], rows["patient"], positive=1, crossed=True)
    assert found.value >= 0.99
    assert found.ci_low > 0.9
    assert raises_banner(found)
    assert found.n == 340


def test_every_probe_finds_a_shortcut_in_the_small_copies(rows, features):
    """Measured: train 0.90 0.94 0.95 0.99, test 0.83 0.87 0.82 0.92."""
    test = (rows["given"] == "test").to_numpy()
    labels, groups, patients = pneumonia(rows), rows["group"].to_numpy(), rows["patient"].to_numpy()
    expected = {"file facts": (0.90, 0.83), "picture statistics": (0.94, 0.87), "border ring": (0.95, 0.82)}
    expected["thumbnail 8x8"] = (0.99, 0.92)
    on_train = {}
    for name in PROBES:
        of_train = features[name][~test], labels[~test], groups[~test]
        on_train[name] = shortcut_metric(
            cross_validated(*of_train), labels[~test], groups[~test], patients[~test], positive=1, crossed=True
        )
        on_test = shortcut_metric(
            fit_and_score(*of_train, features[name][test]),
            labels[test],
            groups[test],
            patients[test],
            positive=1,
            crossed=False,
        )
        assert (on_train[name].value, on_test.value) == pytest.approx(expected[name], abs=0.015), name
        assert raises_banner(on_train[name]) and raises_banner(on_test)
        assert (on_test.n, on_test.n_patients) == (624, len(set(groups[test])))
    assert _best_probe(on_train) == "thumbnail 8x8"


def test_the_34_identical_pairs_are_found_and_no_other(rows, pixels):
    pairs = near_pairs(perceptual_hashes(pixels), pixels)
    content = rows["sha256"].to_numpy()
    assert len(pairs) == 34
    assert all(content[i] == content[j] for i, j in pairs)
    assert near_groups(pairs, content) == []
