"""The OOD gate on drawn films: other images are marked, new patients are not, and its file is verified."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import plainfilm
from foreign_pictures import CHOSEN_LAST, DESIGNED_WITH, foreign
from plainfilm.data.synthetic.corruptions import corrupted
from plainfilm.data.synthetic.phantom import draw_phantom
from plainfilm.errors import DataError
from plainfilm.evaluate.ood.image_features import IMAGE_VIEWS, SHARPNESS, _cells, image_features
from plainfilm.evaluate.ood.kinds_caught import KINDS, changed, kinds_caught
from plainfilm.evaluate.ood.ood_gate import (
    _MIN_IMAGES,
    FEATURES,
    OODGate,
    _Envelope,
    fit_gate,
    gate_bytes,
    gate_from,
    is_marked,
    read_gate,
    share_marked,
)
from plainfilm.evaluate.ood.tolerated import spread_over, tolerated_sharpness
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir

SIZE = 48


def features_of(pixels):
    """In place of a network: mean and spread of each of 6 x 6 cells."""
    x = pixels.astype(float) / 255
    means, squares = _cells(x, 6), _cells(x**2, 6)
    return np.hstack([means.reshape(len(x), -1), np.sqrt(np.maximum(squares - means**2, 0)).reshape(len(x), -1)])


def views_of(pixels):
    return {**image_features(pixels), FEATURES: features_of(pixels)}


@pytest.fixture(scope="module")
def films():
    """700 films of as many patients."""
    drawn = [draw_phantom(SIZE, seed=5, patient=i, k=1, opacity=bool(i % 2)) for i in range(700)]
    return np.stack(drawn)


@pytest.fixture(scope="module")
def tolerated(films):
    return tolerated_sharpness(films[:300]), tolerated_sharpness(films[300:500])


@pytest.fixture(scope="module")
def gate(films, tolerated):
    return fit_gate(views_of(films[:300]), views_of(films[300:500]), tolerated)


def share_of(gate, pixels):
    return float((gate.score(pixels, features_of(pixels))[0] > 1).mean())


def test_other_patients_are_let_through(gate, films):
    assert share_of(gate, films[500:]) <= 0.05


@pytest.mark.parametrize("kind", [*DESIGNED_WITH, *CHOSEN_LAST])
def test_each_kind_of_foreign_image_is_marked(gate, films, kind):
    assert share_of(gate, foreign(kind, films[500:])) >= 0.95


@pytest.mark.parametrize("change", ["blur", "jpeg-60", "gamma-dark", "noise"])
def test_what_another_machine_commonly_changes_marks_few(gate, films, change):
    pixels = corrupted(films[500:], change, np.arange(200))
    assert share_of(gate, pixels) <= 0.10


def test_blur_is_marked_by_sharpness_alone():
    """Broad shapes of any strength under a fine chequer, whose means over 2 x 2 pixels (the finest cells of the coarse
    views) are 0: blur of 1/32 of the side removes it, and only sharpness sees that."""
    rng = np.random.default_rng(3)
    shapes = gaussian_filter(rng.normal(size=(320, 64, 64)), (0, 6, 6)) * rng.uniform(200, 900, (320, 1, 1))
    chequer = rng.uniform(8, 16, (320, 1, 1)) * (1 - 2 * (np.indices((64, 64)).sum(axis=0) % 2))
    pixels = np.clip(128 + shapes + chequer, 0, 255).astype(np.uint8)
    train, calibrate, blurred = views_of(pixels[:160]), views_of(pixels[160:260]), changed("blurred", pixels[260:])
    gate = fit_gate(train, calibrate, (tolerated_sharpness(pixels[:160]), tolerated_sharpness(pixels[160:260])))
    before = fit_gate(*({name: of[name] for name in of if name != SHARPNESS} for of in (train, calibrate)))
    assert share_of(gate, blurred) == 1
    assert share_of(before, blurred) < 0.5
    assert share_of(gate, pixels[260:]) <= 0.1


def test_without_tolerated_changes_compression_would_be_marked(films):
    small = np.rint(films[:400].reshape(400, 24, 2, 24, 2).mean(axis=(2, 4))).astype(np.uint8)
    train, calibrate = small[:200], small[200:300]
    of = views_of(train), views_of(calibrate)
    bare, gate = fit_gate(*of), fit_gate(*of, (tolerated_sharpness(train), tolerated_sharpness(calibrate)))
    pixels = corrupted(small[300:], "jpeg-60", np.arange(100))
    assert share_of(bare, pixels) > share_of(gate, pixels) + 0.3  # 0.70 and 0.16


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unchanged"])
def test_each_kind_changes_the_images_and_keeps_their_form(kind, films):
    for pixels in (films[:3], np.repeat(films[:3, ..., None], 3, axis=3)):
        made = changed(kind, pixels)
        assert made.shape == pixels.shape and made.dtype == np.uint8
        assert (made != pixels).mean() > 0.1


def test_kinds_by_hand():
    pixels = np.full((1, 20, 20), 100, np.uint8)
    pixels[0, :10] = 200
    assert changed("inverted", pixels)[0, [0, -1], 0].tolist() == [55, 155]
    assert changed("low in contrast", pixels)[0, [0, -1], 0].tolist() == [165, 135]  # 150 +- 0.3 * 50
    assert changed("turned by 90 degrees", pixels)[0, 0, [0, -1]].tolist() == [200, 100]
    assert changed("upside down", pixels)[0, [0, -1], 0].tolist() == [100, 200]
    barred = changed("with black bars", pixels)[0]
    assert (barred == 0).sum(axis=1).tolist() == [8] * 20  # 4 columns on each side
    assert barred[[0, -1], 10].tolist() == [200, 100]
    ramp = np.broadcast_to(np.arange(0, 200, 10, dtype=np.uint8), (1, 20, 20))
    enlarged = changed("enlarged from the middle", ramp)[0, 0]
    assert (enlarged[0], enlarged[-1]) == (50, 140)  # columns 5 and 14


def test_the_count_by_kind_is_that_of_the_gate(gate, films):
    """60 of 200 films, spread over them; each kind is scored again here."""
    found = kinds_caught(gate, films[500:], features_of, fresh=True)
    some = films[500:][spread_over(200, 60)]
    assert (found.images, found.fresh) == (60, True)
    assert found.marked == {kind: round(60 * share_of(gate, changed(kind, some))) for kind in KINDS}
    assert found.marked["unchanged"] <= 3 and found.marked["blurred"] == found.marked["noisy"] == 60
    assert kinds_caught(gate, films[500:507], features_of, fresh=False).images == 7
    assert spread_over(5, 3).tolist() == [0, 2, 4]


def test_a_gate_of_before_sharpness_is_read_and_scores_as_it_did(gate, films):
    """Three views on disk: the scores of those three, whatever this version can compute besides."""
    three = OODGate({name: one for name, one in gate.envelopes.items() if name != SHARPNESS}, 1.5)
    again = gate_from(gate_bytes(three))
    pixels, features = films[500:520], features_of(films[500:520])
    views = {**image_features(pixels, ("layout", "grey levels")), FEATURES: features}
    assert set(views) == {"layout", "grey levels", FEATURES}
    worst = np.max([three.envelopes[name].ood_score(view) for name, view in views.items()], axis=0)
    assert again.score(pixels, features)[0] == pytest.approx(worst / 1.5)


def test_a_gate_with_a_view_of_another_version_is_refused(gate):
    other = OODGate({**gate.envelopes, "border": gate.envelopes["layout"]}, gate.limit)
    with pytest.raises(ValueError, match="another version"):
        gate_from(gate_bytes(other))


def test_the_view_with_the_largest_score_is_named(gate, films):
    """Where only the network's features are unusual, they are named."""
    pixels, features = films[500:510], features_of(films[500:510])
    scores, view = gate.score(pixels, features + 5)
    assert (scores > 1).all()
    assert set(view) == {FEATURES}
    assert gate.score(pixels[:0], features[:0])[1] == []


def test_colour_where_all_was_grey_is_marked(films):
    """Films in three equal channels, and one of them tinted."""
    colour = np.repeat(films[..., None], 3, axis=3)
    views = [{**image_features(part), FEATURES: features_of(part[..., 0])} for part in (colour[:300], colour[300:500])]
    gate = fit_gate(*views)
    tinted = colour[500:520].astype(float) * [1.0, 0.8, 0.8]
    scores, view = gate.score(tinted.astype(np.uint8), features_of(films[500:520]))
    assert (scores > 1).all()
    assert set(view) == {"grey levels"}


def test_the_limit_is_beyond_all_but_two_in_a_hundred(films):
    """Of 149 images of calibrate the 147th is the limit: 150 * 0.98."""
    views = views_of(films[300:449])
    gate = fit_gate(views_of(films[:300]), views)
    scores, _ = gate.score(films[300:449], views[FEATURES])
    assert (scores > 1 + 1e-6).sum() == 2


def test_with_few_images_there_is_no_gate(films):
    few = {name: view[: _MIN_IMAGES - 1] for name, view in views_of(films[:_MIN_IMAGES]).items()}
    assert fit_gate(views_of(films[:300]), few) is None


def test_the_distance_is_the_one_of_the_gaussian_worked_out_with_its_inverse_covariance():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    spread, rest, mean, scale = np.array([4.0, 2.0]), 0.5, rng.normal(size=5), np.array([1.0, 2, 3, 1, 1])
    covariance = axes.T @ np.diag(spread - rest) @ axes + rest * np.eye(5)
    x = rng.normal(size=(7, 5))
    z = (x - mean) / scale
    expected = np.einsum("ni,ij,nj->n", z, np.linalg.inv(covariance), z)
    parts = (mean, scale, axes, spread, np.array([rest]), np.array([0.0, 1.0]))
    envelope = _Envelope(*(part.astype(np.float64) for part in parts))
    assert np.exp(envelope.log_distance(x)) == pytest.approx(expected)
    moved = replace(envelope, usual=np.array([1.0, 2.0]))
    assert moved.ood_score(x) == pytest.approx((np.log(expected) - 1) / 2)


# views ---------------------------------------------------------------------------------------------------------------


def test_cells_are_means_also_where_the_sides_do_not_divide():
    image = np.arange(35.0).reshape(1, 5, 7)
    assert _cells(image, 5)[0, :, 0] == pytest.approx([0.0, 7.0, 14.0, 21.0, 28.0])  # 7 columns in 5: the first alone
    assert _cells(image, 1)[0, 0, 0] == pytest.approx(17.0)
    assert _cells(image, 99).shape == (1, 5, 7)
    even = np.arange(16.0).reshape(1, 4, 4)
    assert _cells(even, 2)[0] == pytest.approx(np.array([[2.5, 4.5], [10.5, 12.5]]))


@given(st.integers(8, 70), st.integers(8, 70), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_views_are_numbers_for_any_image_and_one_by_one(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, height, width)).astype(np.uint8)
    pixels[2] = 77
    together = image_features(pixels)
    for name, view in together.items():
        assert np.isfinite(view).all()
        assert np.vstack([image_features(pixels[i : i + 1])[name] for i in range(3)]) == pytest.approx(view)


def test_sharpness_by_hand():
    """One white pixel on black in 16 x 16: Laplacians 4 at it and -1 at its four neighbours."""
    pixels = np.zeros((1, 16, 16), np.uint8)
    pixels[0, 7, 7] = 255
    found = image_features(pixels, [SHARPNESS])[SHARPNESS]
    assert found.shape == (1, 32)
    fine, coarse = (np.exp(part.reshape(4, 4)) - 1 / 255**2 for part in (found[0, :16], found[0, 16:]))
    cells = {side: np.diff(np.linspace(0, side, 5).round()) for side in (14, 6)}  # the Laplacian lacks the border
    assert (fine * np.outer(cells[14], cells[14])).sum() == pytest.approx(4**2 + 4, rel=1e-4)
    assert (coarse * np.outer(cells[6], cells[6])).sum() == pytest.approx((4**2 + 4) / 16, rel=1e-4)  # means of 4
    flat = image_features(np.full((1, 16, 16), 99, np.uint8), [SHARPNESS])[SHARPNESS]
    assert flat == pytest.approx(np.full((1, 32), np.log(1 / 255**2)))


@pytest.mark.parametrize("view", IMAGE_VIEWS)
def test_a_view_alone_is_that_of_all(view, films):
    assert np.array_equal(image_features(films[:5], [view])[view], image_features(films[:5])[view])


def test_layout_does_not_see_exposure(films):
    dark = (films[:5].astype(float) * 0.5 + 20).astype(np.uint8)
    assert np.abs(image_features(dark)["layout"] - image_features(films[:5])["layout"]).max() < 0.1  # rounding to uint8


def test_grey_levels_by_hand():
    """Left half black, right half white: mean 0.5, spread 0.5, one bit; upside down itself, mirrored its opposite."""
    pixels = np.zeros((1, 64, 64), np.uint8)
    pixels[:, :, 32:] = 255
    found = image_features(pixels)["grey levels"][0]
    assert found[:2] == pytest.approx([0.5, 0.5])
    assert found[9] == pytest.approx(1.0)
    assert found[10] == pytest.approx(np.log(1 / 31 + 1 / 255))  # one step of 1 among 31 across, none down
    assert found[11] == pytest.approx(np.log(1 / 255))
    assert found[16:19] == pytest.approx([-1.0, 1.0, 0.0])


# on disk -------------------------------------------------------------------------------------------------------------


def test_the_file_says_the_same_and_equal_gates_are_equal_bytes(gate, films, tolerated):
    data = gate_bytes(gate)
    again = gate_from(data)
    pixels = films[500:550]
    assert np.array_equal(again.score(pixels, features_of(pixels))[0], gate.score(pixels, features_of(pixels))[0])
    assert gate_bytes(again) == data
    assert gate_bytes(fit_gate(views_of(films[:300]), views_of(films[300:500]), tolerated)) == data
    assert len(data) < 500_000


def test_a_changed_or_lost_file_is_refused_and_a_run_without_a_gate_has_none(gate, tmp_path, refusal):
    run, data = RunDir(tmp_path), gate_bytes(gate)
    card = Card.model_construct(gate_sha256=hashlib.sha256(data).hexdigest())
    assert "gate.safetensors is missing or not the file" in refusal(lambda: read_gate(run, card))
    run.gate.write_bytes(data)
    assert read_gate(run, card).limit == gate.limit
    run.gate.write_bytes(data[:-1] + b"\0")
    assert refusal(lambda: read_gate(run, card), DataError)
    torn = Card.model_construct(gate_sha256=hashlib.sha256(b"no tensors").hexdigest())
    run.gate.write_bytes(b"no tensors")
    assert refusal(lambda: read_gate(run, torn), DataError)
    assert read_gate(run, Card.model_construct(gate_sha256=None)) is None


def test_a_score_that_is_no_number_is_marked_and_no_gate_is_no_share():
    scores = np.array([0.5, 1.0, 1.0000001, np.nan, np.inf, -np.inf])
    assert np.flatnonzero(is_marked(scores)).tolist() == [2, 3, 4]
    assert share_marked(np.array([np.nan, 0.5])) == 0.5
    assert share_marked(None) is None and share_marked(np.empty(0)) is None


def test_no_other_module_compares_ood_scores_with_the_limit():
    """`ood > 1` takes NaN, which is unlike every train image, for like them: the others ask is_marked()."""
    texts = {path: path.read_text(encoding="utf-8") for path in Path(plainfilm.__file__).parent.rglob("*.py")}
    compared = [
        path.name
        for path, text in texts.items()
        if re.search(r"(?i)\b(ood|OOD\]\S*|score\(.*\)\[0\])\)? *[<>]=? *1\b", text)
    ]
    assert not compared
