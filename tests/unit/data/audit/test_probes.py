"""Features worked out by hand, and a classifier that finds what was planted and nothing else."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from plainfilm.data.audit import probes
from plainfilm.data.audit.probes import PROBES, cross_validated, file_features, fit_and_score, image_statistics

MEAN, SD, MEDIAN, SHARP, HALF_SHARP, BLACK_ROWS, BLACK_COLUMNS, OF_0, OF_255, COLOUR = (
    0,
    1,
    5,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
)


def patients(n: int, images: int = 2) -> np.ndarray:
    """Groups of `images` rows each, int (n,)."""
    return np.arange(n) // images


def noise(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that tell nothing, labels by patient, and patients of two images."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.permutation(np.arange((n + 1) // 2) % 2)[patients(n)], patients(n)


def auroc(probs: np.ndarray, labels: np.ndarray) -> float:
    return float(roc_auc_score(labels, probs[:, 1]))


def statistics(pixels: np.ndarray) -> np.ndarray:
    """Statistics of one image, (16,)."""
    return image_statistics(pixels[None])["picture statistics"][0]


# --- features --------------------------------------------------------------------------------------------------------


def test_file_facts_are_those_of_the_row() -> None:
    rows = pd.DataFrame({"bytes": [500], "width": [20], "height": [50], "channels": [3], "quantisation": [330]})
    np.testing.assert_allclose(file_features(rows), [[0.5, 20, 50, 0.4, 3, 330]])
    assert file_features(rows.iloc[:0]).shape == (0, 6)


def test_a_checkerboard_is_sharp_at_full_scale_and_flat_at_half() -> None:
    found = statistics((np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert found[[MEAN, SD]] == pytest.approx([127.5, 127.5])
    assert found[SHARP] == 4 * 255  # every inner pixel differs by 255 from its four neighbours
    assert found[HALF_SHARP] == 0
    assert found[[OF_0, OF_255]] == pytest.approx([0.5, 0.5])
    assert (found[[BLACK_ROWS, BLACK_COLUMNS, COLOUR]] == 0).all()


def test_percentiles_are_grey_values_of_the_image() -> None:
    found = statistics(np.arange(256, dtype=np.uint8).reshape(16, 16))
    # 1 % of 256 pixels is 2.56: the third darkest
    assert found[2:9].tolist() == [2, 12, 63, 127, 191, 243, 253]


def test_black_borders_are_counted_from_the_edge_inwards() -> None:
    image = np.full((20, 16), 9, np.uint8)
    image[:3] = image[-2:] = image[10] = image[:, 0] = 0
    assert statistics(image)[[BLACK_ROWS, BLACK_COLUMNS]] == pytest.approx([5 / 20, 1 / 16])
    assert statistics(np.zeros((16, 16), np.uint8))[[BLACK_ROWS, BLACK_COLUMNS, OF_0]].tolist() == [1, 1, 1]


def test_three_equal_channels_are_the_grey_image_and_colour_shows() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (3, 30, 30), np.uint8)
    for name, found in image_statistics(np.repeat(grey[..., None], 3, axis=3)).items():
        np.testing.assert_allclose(found, image_statistics(grey)[name], rtol=1e-5)
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 90
    assert statistics(red)[[MEAN, COLOUR]].tolist() == [30, 90]


def test_the_ring_sees_the_border_and_nothing_else() -> None:
    image = np.full((1, 50, 50), 100, np.uint8)
    image[:, 4:-4, 4:-4] = 255  # 8 % of 50 px is 4
    assert (image_statistics(image)["border ring"] == 100).all()
    image[:, :4, :] = 20
    ring = image_statistics(image)["border ring"][0]
    assert ring[:12].tolist() == [20] * 12  # the top, with its corners
    assert ring[12:].tolist() == [100] * 32


def test_the_thumbnail_holds_means_of_fields_row_by_row() -> None:
    fields = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = np.kron(fields, np.array([[0, 2], [1, 1]], np.uint8))[None]
    assert image_statistics(image)["thumbnail 8x8"][0].tolist() == list(range(64))


@pytest.mark.parametrize("shape", [(16, 16), (33, 33), (224, 224), (20, 41), (64, 64, 3)])
def test_the_number_of_features_does_not_depend_on_the_size(shape: tuple[int, ...]) -> None:
    image = np.full((2, *shape), 7, np.uint8)
    found = image_statistics(image)
    assert tuple(found) == PROBES[1:]
    assert [array.shape for array in found.values()] == [(2, 16), (2, 44), (2, 64)]
    assert (found["border ring"] == 7).all() and (found["thumbnail 8x8"] == 7).all()
    assert [array.shape for array in image_statistics(image[:0]).values()] == [(0, 16), (0, 44), (0, 64)]


class Slices:
    """Pixels that can be sliced and nothing else, as on a disk; remembers how many rows were asked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.asked = pixels, pixels.shape, list[int]()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, which: slice) -> np.ndarray:
        found = self.pixels[which.start : which.stop]
        self.asked.append(len(found))
        return found


def test_images_are_read_in_chunks_and_that_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 16, 16), np.uint8)
    whole = image_statistics(pixels)
    monkeypatch.setattr(probes, "_CHUNK_VALUES", 3 * 16 * 16)
    slices = Slices(pixels)
    for name, found in image_statistics(slices).items():
        np.testing.assert_array_equal(found, whole[name])
    assert slices.asked == [3, 3, 1]


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((2, 16, 16), np.float32), "uint8"),
        (np.zeros((2, 8, 16), np.uint8), "16 px"),
        (np.zeros((2, 16, 16, 4), np.uint8), "(h, w, 3)"),
        (np.zeros((16, 16), np.uint8), "(h, w)"),
    ],
)
def test_other_images_are_refused(pixels: np.ndarray, words: str, refusal: Callable[..., str]) -> None:
    assert words in refusal(lambda: image_statistics(pixels))


def test_importing_the_probes_loads_no_scikit_learn() -> None:
    code = "import sys, plainfilm.data.audit.probes, plainfilm.data.audit.near_duplicates\n"
    code += "assert not {'sklearn', 'scipy', 'imagehash', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- the classifier --------------------------------------------------------------------------------------------------


def test_a_shortcut_that_grows_with_a_feature_is_found() -> None:
    features, labels, groups = noise(200, 6)
    features[:, 3] += 3 * labels
    assert auroc(cross_validated(features, labels, groups), labels) > 0.95


def test_a_shortcut_that_lies_between_two_values_is_found() -> None:
    """As when one class was stored by two cameras, and the other by a third; no straight line finds it."""
    features, labels, groups = noise(200, 6)
    features[:, 3] = np.where(labels == 1, 0, np.sign(features[:, 3])) + 0.1 * features[:, 2]
    assert auroc(cross_validated(features, labels, groups), labels) > 0.95


def test_a_shortcut_spread_over_all_features_is_found() -> None:
    features, labels, groups = noise(200, 64)
    features += 0.35 * labels[:, None]
    assert auroc(cross_validated(features, labels, groups), labels) > 0.9


def test_noise_tells_nothing() -> None:
    found = [auroc(cross_validated(*noise(300, 6, seed)), noise(300, 6, seed)[1]) for seed in range(5)]
    assert abs(np.mean(found) - 0.5) < 0.06


def test_over_many_sets_one_feature_of_noise_is_worth_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean of 200 sets, standard error 0.006; folds that were the same pattern of ranks in every set gave 0.41.

    A line between the means of the classes stands for the classifier: it is the folds that are tested.
    """

    def towards_the_other_mean(features: np.ndarray, labels: np.ndarray, other: np.ndarray) -> np.ndarray:
        low, high = (features[labels == label].mean() for label in (0, 1))
        score = 1 / (1 + np.exp(-(high - low) * (other[:, 0] - (low + high) / 2)))
        return np.column_stack([1 - score, score])

    monkeypatch.setattr(probes, "_learned", towards_the_other_mean)
    found = []
    for i in range(200):
        rng = np.random.default_rng([20, i])
        labels = rng.permutation(np.arange(80) < 20).astype(int)
        found.append(auroc(cross_validated(rng.normal(size=(80, 1)), labels, np.arange(80)), labels))
    assert abs(np.mean(found) - 0.5) < 0.03


def test_the_rarer_class_gets_as_much_weight_in_every_fold() -> None:
    """The base rate is the same in every fold: unweighted, 9 of 10 images would score below 0.2."""
    features, labels, groups = noise(400, 3)
    labels = (groups % 10 == 0).astype(int)
    assert np.median(cross_validated(features, labels, groups)[:, 1]) == pytest.approx(0.5, abs=0.1)


def test_no_group_is_ever_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 150)
    labels = groups % 2
    seen, learned = [], probes._learned

    def spy(features: np.ndarray, labels: np.ndarray, other: np.ndarray) -> np.ndarray:
        seen.append((set(features[:, 0]), set(other[:, 0]), len(features) + len(other)))
        return learned(features, labels, other)

    monkeypatch.setattr(probes, "_learned", spy)
    cross_validated(np.column_stack([groups, rng.normal(size=150)]), labels, groups)
    assert len(seen) == 5
    assert all(not fitted & scored and rows == 150 for fitted, scored, rows in seen)
    scored = [group for _, scored, _ in seen for group in scored]
    assert sorted(scored) == sorted(set(groups.tolist()))


def test_knowing_the_patient_helps_only_where_patients_are_split() -> None:
    """The features name the patient and nothing else."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 5)
    labels = rng.integers(0, 2, 60)[groups]
    features = rng.normal(size=(60, 8))[groups] + rng.normal(0, 0.01, (300, 8))
    assert auroc(cross_validated(features, labels, np.arange(300)), labels) > 0.95
    assert auroc(cross_validated(features, labels, groups), labels) < 0.7


def test_neither_the_order_of_the_rows_nor_the_names_of_the_groups_count() -> None:
    features, labels, groups = noise(90, 4)
    probs = cross_validated(features, labels, groups)
    order = np.random.default_rng(5).permutation(90)
    np.testing.assert_array_equal(cross_validated(features[order], labels[order], groups[order]), probs[order])
    names = np.array([f"patient {(7 * group) % 45}" for group in groups])
    np.testing.assert_array_equal(cross_validated(features, labels, names), probs)
    other = features[:10]
    scored = fit_and_score(features, labels, groups, other)
    np.testing.assert_array_equal(fit_and_score(features[order], labels[order], names[order], other), scored)


def test_the_same_seed_is_bit_identical_and_another_seed_other_folds() -> None:
    data = noise(90, 4)
    np.testing.assert_array_equal(cross_validated(*data, seed=3), cross_validated(*data, seed=3))
    assert not np.array_equal(cross_validated(*data, seed=3), cross_validated(*data, seed=4))


def test_of_three_classes_every_row_sums_to_one_and_each_is_found() -> None:
    rng = np.random.default_rng(0)
    groups = patients(180)
    labels = groups % 3
    features = rng.normal(size=(180, 5))
    features[:, 0] += 4 * labels
    probs = cross_validated(features, labels, groups)
    assert probs.shape == (180, 3)
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert (probs.argmax(axis=1) == labels).mean() > 0.85


def test_features_that_never_change_tell_nothing_and_disturb_nothing() -> None:
    features, labels, groups = noise(60, 3)
    constant = np.full((60, 4), 1e9)
    assert (cross_validated(constant, labels, groups) == 0.5).all()
    both = np.column_stack([constant, features])
    np.testing.assert_array_equal(cross_validated(both, labels, groups), cross_validated(features, labels, groups))
    # constant among the train images, not among the others
    assert (fit_and_score(constant, labels, groups, features[:, [0, 1, 2, 0]]) == 0.5).all()


@pytest.mark.parametrize("images", [2, 3])
def test_few_groups_make_fewer_folds(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, folds, learned = np.random.default_rng(0), list[int](), probes._learned
    groups = np.array([*range(20), *range(100, 100 + images)])
    labels = (groups >= 100).astype(int)

    def spy(features: np.ndarray, labels: np.ndarray, other: np.ndarray) -> np.ndarray:
        folds.append(len(set(labels)))
        return learned(features, labels, other)

    monkeypatch.setattr(probes, "_learned", spy)
    probs = cross_validated(rng.normal(size=(len(groups), 2)), labels, groups)
    assert folds == [2] * images  # both classes are learned from in each
    assert np.isfinite(probs).all()


def test_patients_of_both_classes_are_divided_too() -> None:
    features = np.random.default_rng(0).normal(size=(12, 2))
    probs = cross_validated(features, np.arange(12) % 2, np.repeat([1, 2, 3], 4))
    assert np.isfinite(probs).all()


def test_other_images_are_scored_by_what_the_train_images_tell() -> None:
    features, labels, groups = noise(120, 4)
    features[:, 0] += 4 * labels
    probs = fit_and_score(features, labels, groups, np.array([[-4.0, 0, 0, 0], [8.0, 0, 0, 0]]))
    assert probs[0, 1] < 0.2 and probs[1, 1] > 0.8
    assert fit_and_score(features, labels, groups, features[:0]).shape == (0, 2)


FOUR, TWO_EACH = np.zeros((4, 2)), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("features", "labels", "groups", "words"),
    [
        (np.array([[0, 1], [0, np.nan], [0, 1], [0, 1]]), TWO_EACH, range(4), "NaN or infinity (first: row 1)"),
        (np.array([[0, 1], [0, 1], [np.inf, 1], [0, 1]]), TWO_EACH, range(4), "row 2"),
        (FOUR, TWO_EACH, [0, 1, 2, 2], "Class 1 has 1 patient"),
        (FOUR, [0, 0, 0, 0], range(4), "Class 1 has 0 patients"),
        (FOUR, [0, 0, 2, 2], range(4), "Class 1 has 0 patients"),
        (FOUR, [0.0, 0.0, 1.0, 1.0], range(4), "labels 0..k-1"),
        (FOUR, [-1, -1, 1, 1], range(4), "labels 0..k-1"),
        (FOUR[:0], [], [], "found 0 labels"),
        (FOUR, [0, 0, 1], range(4), "3 labels"),
        (FOUR[:, 0], TWO_EACH, range(4), "shape (4,)"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line(
    features: np.ndarray, labels: list[int], groups: list[int], words: str, refusal: Callable[..., str]
) -> None:
    assert words in refusal(lambda: cross_validated(features, np.array(labels), np.array(groups)))
    assert words in refusal(lambda: fit_and_score(features, np.array(labels), np.array(groups), FOUR))


def test_other_images_need_the_same_features(refusal: Callable[..., str]) -> None:
    features, labels, groups = noise(20, 3)
    assert "(images, 3)" in refusal(lambda: fit_and_score(features, labels, groups, features[:, :2]))
    assert "NaN" in refusal(lambda: fit_and_score(features, labels, groups, np.full((1, 3), np.nan)))
