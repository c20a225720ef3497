"""A bundle gives the scores and predicted classes of evaluate, whatever the input, and needs neither torch nor fastai."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.data import errors
from plainfilm.data.table.saved_table import read_table
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.operating.conformal import is_singleton
from plainfilm.evaluate.predictions import read_predictions
from plainfilm.export.scorer import _AHEAD, ABSTAIN, BATCH, NO_BAND, NO_GATE, OOD, Bundle, Prediction, open_bundle
from plainfilm.runs.card import read_card


def saved(run):
    rows = read_table(run)
    card = read_card(run)
    return card, read_predictions(run, "valid", rows[rows["split"] == "valid"], card.vocab, has_patients=True)


@pytest.mark.parametrize("which", ["exported", "three_classes"])
@pytest.mark.parametrize("threads", [1, 3])
def test_scores_classes_and_flags_are_those_of_evaluate(which, threads, request):
    run, folder = request.getfixturevalue(which)
    card, expected = saved(run)
    found = list(open_bundle(folder, threads).predict_many(expected.frame["path"]))
    probs = np.array([[one.probs[name] for name in card.vocab] for one in found])
    assert np.abs(probs - expected.probs).max() < 1e-5
    assert probs.std(axis=0).min() > 0.01  # the scores differ, or the order could not be checked
    positive = card.vocab.index(card.positive) if card.positive else None
    predicted = predicted_classes(expected.probs, positive=positive, threshold=card.threshold)
    assert [one.label for one in found] == [card.vocab[k] for k in predicted]
    scores = [one.score for one in found]
    assert np.allclose(scores, probs[np.arange(len(found)), predicted if positive is None else positive])
    sure = is_singleton(card.band, expected.probs, predicted, card.vocab)
    # the limits are scores of two of these very images: there the last bit decides
    at_limit = np.abs(expected.probs - [card.band.lowest[name] for name in card.vocab]).min(axis=1) < 1e-6
    assert 0 < at_limit.sum() <= 3
    abstained = np.array([ABSTAIN in one.flags for one in found])
    assert abstained[~at_limit].tolist() == (~sure)[~at_limit].tolist()
    assert 0 < abstained.sum() < len(found)
    unlike = expected.frame["unlike"].to_numpy() if "unlike" in expected.frame else np.zeros(len(found))
    marked, at_limit = np.array([OOD in one.flags for one in found]), np.abs(unlike - 1) < 1e-5
    assert at_limit.sum() <= 1 and marked[~at_limit].tolist() == (unlike > 1)[~at_limit].tolist()
    assert [NO_GATE in one.flags for one in found] == ["unlike" not in expected.frame] * len(found)
    assert not any(NO_BAND in one.flags for one in found)


@pytest.mark.parametrize(("gate", "band"), [(True, True), (True, False), (False, True), (False, False)])
def test_no_flag_means_judged_by_both(exported, gate, band):
    """Noise on a bundle with and without gate and band: never an empty flag where something did not judge."""
    whole = open_bundle(exported[1], 1)
    card = whole.card if band else whole.card.model_copy(update={"band": None})
    bundle = Bundle(card, "", whole.gate if gate else None, whole._network, 1)
    (found,) = bundle.score(np.random.default_rng(0).integers(0, 256, (1, 1, 48, 48), dtype=np.uint8))
    assert (NO_GATE in found.flags, OOD in found.flags) == (not gate, gate)
    assert (NO_BAND in found.flags) is not band
    assert found.flags if not (gate and band) else NO_GATE not in found.flags
    refused = bundle.predict_bytes(b"")
    assert refused.error and refused.flags == ()


def test_a_bundle_reads_as_many_pixels_as_its_card_admits(exported, tmp_path, monkeypatch):
    whole, path = open_bundle(exported[1], 1), tmp_path / "large.png"
    Image.fromarray(np.zeros((1000, 1001), np.uint8)).save(path)

    def admitting(megapixels: int) -> Bundle:
        card = whole.card.model_copy(update={"decode": {**whole.card.decode, "megapixels": megapixels}})
        return Bundle(card, "", whole.gate, whole._network, 1)

    assert admitting(1).predict_path(path).error == "E_LARGE: 1001 x 1000 pixels; at most 1000000 are read"
    assert not admitting(2).predict_path(path).error
    monkeypatch.setattr(errors, "MAX_BYTES", path.stat().st_size - 1)  # of a file with 64 megapixels
    assert "E_LARGE" in str(admitting(64).predict_path(path).error)
    assert not admitting(128).predict_path(path).error
    older = {name: value for name, value in whole.card.decode.items() if name != "megapixels"}
    assert whole.card.model_copy(update={"decode": older}).decode_spec() == whole.card.decode_spec()
    with pytest.raises(ValueError, match="megapixels"):
        admitting(1001)


def test_noise_is_marked_and_a_photo_of_one_grey_is_too(exported, tmp_path):
    bundle = open_bundle(exported[1])
    noise = np.random.default_rng(0).integers(0, 2, (60, 60), dtype=np.uint8) * 255
    for name, pixels in (("noise", noise), ("flat", np.full((60, 60), 200, np.uint8))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        assert OOD in bundle.predict_path(tmp_path / f"{name}.png").flags, name


def test_bytes_and_path_give_the_same(exported):
    run, folder = exported
    path = Path(read_table(run)["path"][0])
    bundle = open_bundle(folder)
    assert bundle.predict_bytes(path.read_bytes()) == bundle.predict_path(path) == next(bundle.predict_many([path]))
    assert bundle.pixels(path).shape == (1, 48, 48) and bundle.pixels(path).dtype == np.uint8
    assert np.array_equal(bundle.pixels(path), bundle.pixels(path.read_bytes()))


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "E_EMPTY"), (b"hello", "E_FORMAT"), (b"\x89PNG\r\n\x1a\n" + bytes(99), "E_"), (None, "E_READ")],
)
def test_a_bad_image_fills_the_error_and_raises_nothing(exported, tmp_path, content, code):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    bundle = open_bundle(exported[1])
    found = bundle.predict_path(path)
    assert found == Prediction(error=found.error) and found.error.startswith(code)
    assert str(tmp_path) not in found.error
    if content is not None:  # an upload, as serve gets it
        assert bundle.predict_bytes(content) == found


def test_names_no_system_can_open_are_rows_too(exported):
    names = ["a\0b.png", "x" * 5000, ""]
    found = list(open_bundle(exported[1]).predict_many(names))
    assert [one.error[:6] for one in found] == ["E_READ"] * 3


def test_bad_files_between_good_ones_shift_no_row(exported, tmp_path):
    run, folder = exported
    good = list(read_table(run)["path"])[:40]
    bundle = open_bundle(folder, 2)
    alone = {path: bundle.predict_path(path) for path in good}
    mixed = [path for pair in zip(good, ["no such file"] * 40, strict=True) for path in pair]
    for path, found in bundle.predict_each(mixed):
        assert bool(found.error) == (path == "no such file")
        if not found.error:
            assert found.label == alone[path].label
            assert found.score == pytest.approx(alone[path].score, abs=1e-6)


def test_paths_are_read_as_they_are_needed(exported):
    """Memory does not grow with the list: never more than AHEAD batches a thread are waiting."""
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield "no such file"

    stream = open_bundle(exported[1], 2).predict_many(endless())
    for done in range(1, 100):
        next(stream)
        assert asked - done <= (_AHEAD * 2 + 1) * BATCH
    stream.close()


def test_another_threshold_changes_the_call_alone(exported):
    run, folder = exported
    bundle, path = open_bundle(folder), read_table(run)["path"][0]
    before = bundle.predict_path(path)
    assert bundle.at(0.0).predict_path(path).label == "PNEUMONIA"
    assert bundle.at(1.0).predict_path(path).label == "NORMAL"
    assert bundle.at(0.0).predict_path(path).probs == before.probs
    assert bundle.card.threshold == read_card(run).threshold


HEAVY = (
    "torch",
    "torchvision",
    "fastai",
    "fastcore",
    "timm",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "onnx",
    "captum",
)


def test_predicting_imports_no_torch_in_a_process_where_it_cannot_be_imported(exported):
    run, folder = exported
    path = read_table(run)["path"][0]
    code = (
        "import sys\n"
        f"for name in {HEAVY}:\n    sys.modules[name] = None\n"  # an import of it is an ImportError now
        "from plainfilm.cli import app\n"
        "app(['predict', *sys.argv[1:]])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder), path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    expected = open_bundle(folder).predict_path(path)
    assert done.stdout.splitlines()[1].split(",")[1:3] == [expected.label, f"{expected.score:.9g}"]
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), path, "--heatmaps", str(run.root / "heat")], capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3 and "torch" in done.stderr and "Traceback" not in done.stderr
    assert not (run.root / "heat").exists()
