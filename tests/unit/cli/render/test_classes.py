"""Tables of many classes: the five of either end, no line beyond 80 columns, no class lost where there are few."""

import io
from collections.abc import Callable

import pytest

from plainfilm.cli.render import classes
from plainfilm.cli.render.predict import predict_summary
from plainfilm.cli.screen import Screen
from plainfilm.schemas.documents import Confusion, DataCounts, Metric, PredictDocument, SplitCounts


@pytest.fixture
def printed(monkeypatch) -> Callable[..., list[str]]:
    """printed(function, *arguments): the lines at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def lines(function: Callable[..., None], *arguments) -> list[str]:
        file = io.StringIO()
        function(Screen(set(), file=file), *arguments)
        found = [line.rstrip() for line in file.getvalue().splitlines()]
        assert max(map(len, found)) <= 80, found
        return found

    return lines


def counts(names: list[str]) -> DataCounts:
    """Class i of these has 10 + i train images and one valid image."""
    parts = {
        "train": SplitCounts(images=1, patients=1, classes={name: 10 + i for i, name in enumerate(names)}),
        "valid": SplitCounts(images=2, patients=None, classes=dict.fromkeys(names, 1)),
    }
    nothing = dict.fromkeys(("found", "used", "quarantined", "duplicates", "ignored", "identical_files"), 0)
    return DataCounts(patients=1, **nothing, classes=dict.fromkeys(names, 0), splits=parts)


def metrics(sensitivity: float | None, auroc: float = 0.9) -> dict[str, Metric]:
    values = {"auroc": auroc, "sensitivity": sensitivity, "specificity": 0.5}
    return {
        name: Metric(value=value, ci_low=value and 0.1, ci_high=value and 1.0, n=3, n_patients=None, method="none here")
        for name, value in values.items()
    }


def test_the_counts_of_twenty_classes_are_those_of_either_end(printed):
    found = printed(classes.print_split_counts, counts([f"class {i:02d}" for i in range(20)]))
    assert found[:3] == ["split  images  patients", "train       1         1", "valid       2   unknown"]
    rows = [line.split() for line in found[5:]]
    assert rows[0] == ["class", "19", "29", "1"] and rows[5] == ["..."] and rows[-1] == ["class", "00", "10", "1"]
    assert len(rows) == 11


def test_few_classes_are_columns_and_become_rows_where_they_do_not_fit(printed):
    assert printed(classes.print_split_counts, counts(["A", "B"]))[1].split() == ["train", "1", "1", "10", "11"]
    names = [f"a rather long name {i}" for i in range(6)]
    found = printed(classes.print_split_counts, counts(names))
    assert [line.rpartition("  ")[0].split("  ")[0] for line in found[-6:]] == names[::-1]


def test_forty_classes_are_ranked_by_sensitivity_and_one_without_images_is_last(printed):
    every = {f"k{i}": metrics(i / 40, 0.5 + i / 100) for i in range(39)} | {"none": metrics(None)}
    rows = [line.split()[0] for line in printed(classes.print_per_class, every)[-12:-1]]
    assert rows == ["k38", "k37", "k36", "k35", "k34", "...", "k3", "k2", "k1", "k0", "none"]
    few = {name: every[name] for name in ("k3", "k9", "k1")}
    assert [line.split()[0] for line in printed(classes.print_per_class, few)[-3:]] == ["k3", "k9", "k1"]


def test_what_is_not_estimable_is_short_in_its_cell_and_its_reason_is_below_once(printed):
    found = printed(classes.print_per_class, {name: metrics(None) for name in "AB"})
    assert [line.split()[:5] for line in found[2:4]] == [[name, "0.900", "[0.100,", "1.000]", "n/e"] for name in "AB"]
    assert found[4:] == ["n/e: not estimable: none here"]


def test_long_names_stand_above_their_numbers_which_are_not_broken(printed):
    names = [f"Bacterial pneumonia {side} lobe" for side in ("left upper", "left lower", "right lower")]
    found = printed(classes.print_per_class, {name: metrics(0.5) for name in names})
    assert found[2::2] == names
    assert set(found[3::2]) == {"  0.900 [0.100, 1.000]  0.500 [0.100, 1.000]  0.500 [0.100, 1.000]"}
    assert found[1].split() == ["AUROC", "sensitivity", "specificity"]


def test_a_confusion_matrix_has_names_then_numbers_then_pairs(printed):
    def matrix(k: int, name: str) -> Confusion:
        rows = [[0] * k for _ in range(k)]
        rows[0][0], rows[1][0], rows[2][0] = 7, 5, 6
        return Confusion(labels=[f"{name}{i}" for i in range(k)], rows=rows)

    assert printed(classes.print_confusion, matrix(3, "x"))[1].split() == ["x0", "x1", "x2"]
    numbered = printed(classes.print_confusion, matrix(12, "a long name "))
    assert numbered[1].split() == [str(i) for i in range(1, 13)] and numbered[3].split()[:5] == [
        "2",
        "a",
        "long",
        "name",
        "1",
    ]
    assert printed(classes.print_confusion, matrix(40, "x")) == [
        "Most frequent confusions, of 11 wrong predictions of 18:",
        "  6 of 6 x2 predicted x0",
        "  5 of 5 x1 predicted x0",
    ]


def test_predict_ends_with_the_ten_most_frequent_classes():
    document = PredictDocument(
        bundle="b", out=None, pictures=105, scored=105, failed=0, called={f"c{i}": i for i in range(15)}, unsure=None,
        unlike=None, left_out={}, threshold=None, seconds=2.0,
    )  # fmt: skip
    said = predict_summary(document)
    shown = ", ".join(f"{i} predicted c{i}" for i in range(14, 4, -1))
    assert f": {shown}, 10 predicted one of 5 others; abstained" in said
    few = document.model_copy(update={"called": {"A": 0, "B": 105}})
    assert ": 0 predicted A, 105 predicted B; abstained" in predict_summary(few)
    # those of the first ten without an image are not shown: nothing is left to say of them, nor of the 20 others
    sparse = document.model_copy(update={"called": {f"c{i:02d}": 7 - i if i < 4 else 0 for i in range(30)}})
    assert ": 7 predicted c00, 6 predicted c01, 5 predicted c02, 4 predicted c03; abstained" in predict_summary(sparse)
    none = document.model_copy(update={"called": {f"c{i}": 0 for i in range(30)}})
    assert ": no class predicted; abstained" in predict_summary(none)
