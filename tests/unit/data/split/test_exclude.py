"""What a list leaves out: train and valid without it, test as it was, every file still counted."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.split.exclude import _RULE, leave_out
from plainfilm.data.split.splits import Split, count, make_split
from plainfilm.data.split.subsample import keep_per_class
from plainfilm.data.table.image_table import ImageTable, build_table
from plainfilm.errors import DataError
from wording import lacking


@pytest.fixture
def divided(tiny_cxr: Path) -> tuple[ImageTable, Split]:
    table = build_table(tiny_cxr, DataConfig())
    return table, make_split(table, DataConfig(), seed=0)


def some(split: Split, part: str, n: int) -> list[str]:
    return list(split.of(part)["relative"][:n])


def as_csv(folder: Path, names: list[str], **columns: str) -> Path:
    path = folder / "list.csv"
    pd.DataFrame({"path": names, **columns}).to_csv(path, index=False)
    return path


def test_named_images_of_train_and_valid_are_ignored_and_those_of_test_stay(divided, tmp_path: Path):
    table, split = divided
    gone, kept = some(split, "train", 3) + some(split, "valid", 1), some(split, "test", 2)
    few, left = leave_out(table, split, as_csv(tmp_path, gone + kept, label="x", score="0.1", why="a, b"))
    assert set(split.rows["relative"]) - set(left.rows["relative"]) == set(gone)
    assert left.of("test")["relative"].tolist() == split.of("test")["relative"].tolist()
    pd.testing.assert_series_equal(
        left.rows.set_index("relative")["split"], split.rows.set_index("relative")["split"].drop(gone)
    )
    counts = count(few, left)  # raises where they do not add up
    assert (counts.found, counts.used, counts.ignored) == (32, 28, 4)
    assert (few.excluded["code"] == _RULE).sum() == 4 and len(few.rows) == 28
    out, stay = left.notes[-2:]
    assert out.startswith("LEFT OUT: ")
    assert lacking(out, "3 of train", "1 of valid", "named by exclude", "scores on valid are inflated") == []
    assert lacking(stay, "2 images", "named by exclude", "in test", "stay there", "inflate its score") == []


def test_absolute_paths_mean_the_same_and_a_name_twice_is_once(divided, tmp_path: Path):
    table, split = divided
    names = some(split, "train", 2)
    absolute = list(split.rows.loc[split.rows["relative"].isin(names), "path"])
    one = leave_out(table, split, as_csv(tmp_path, names))[1]
    two = leave_out(table, split, as_csv(tmp_path, [*absolute, *names]))[1]
    assert one.rows["relative"].tolist() == two.rows["relative"].tolist()
    assert one.notes[-1] == "LEFT OUT: 2 of train, named by exclude."


def test_an_empty_list_changes_nothing(divided, tmp_path: Path):
    table, split = divided
    few, left = leave_out(table, split, as_csv(tmp_path, []))
    assert left.notes == split.notes and len(left.rows) == len(split.rows) and len(few.excluded) == len(table.excluded)


def test_a_file_that_was_set_aside_before_may_be_named(tmp_path: Path, draw_cxr: Callable[..., Path]):
    root = draw_cxr(tmp_path / "films")
    (root / "NORMAL" / "phantom-00001-1.png").write_bytes(b"broken")
    table = build_table(root, DataConfig())
    split = make_split(table, DataConfig(), seed=0)
    left = leave_out(table, split, as_csv(tmp_path, ["NORMAL/phantom-00001-1.png"]))[1]
    assert len(left.rows) == 31 == len(split.rows)


def test_fewer_per_class_are_taken_of_what_is_left(divided, tmp_path: Path):
    table, split = divided
    gone = some(split, "train", 2)
    few, left = keep_per_class(*leave_out(table, split, as_csv(tmp_path, gone)), wanted=4, seed=0)
    assert not set(gone) & set(left.rows["relative"])
    assert count(few, left).found == 32


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ["does not exist"]),
        ("path\nNA\n", ["(first: 'NA')"]),  # a name as it is written, no missing value
        ("relative,label\na,b\n", ["columns relative, label", "path is needed"]),
        ("", ["cannot be read (EmptyDataError)"]),
        ("path\nNORMAL/phantom-00001-1.png\nelsewhere/x.png\n", ["1 of 2 images", "not in DATA", "'elsewhere/x.png'"]),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(divided, tmp_path: Path, refusal, content, said):
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    assert lacking(refusal(lambda: leave_out(*divided, path), DataError), *said) == []


def test_a_class_must_stay_in_train_and_valid(divided, tmp_path: Path, refusal):
    table, split = divided
    for part in ("train", "valid"):
        names = list(split.of(part).query("label == 'NORMAL'")["relative"])
        said = refusal(lambda names=names: leave_out(table, split, as_csv(tmp_path, names)), DataError)
        assert f"every image of class 'NORMAL' in {part}" in said
        assert str(tmp_path / "list.csv") in said


def test_what_is_left_is_numbered_from_0_and_has_the_columns_it_had(divided, tmp_path: Path):
    table, split = divided
    few, left = leave_out(table, split, as_csv(tmp_path, some(split, "train", 3)))
    again, twice = leave_out(few, left, as_csv(tmp_path, some(left, "valid", 1)))
    for before, after, n in (
        (table.rows, again.rows, 28), (split.rows, twice.rows, 28), (table.excluded, again.excluded, 4),
    ):  # fmt: skip
        assert after.index.tolist() == list(range(n))
        assert after.columns.tolist() == before.columns.tolist()
    assert set(again.excluded["state"]) == {"ignored"}
    assert all("user's list" in str(why) for why in again.excluded["why"])


def test_one_image_in_test_is_counted_as_one(divided, tmp_path: Path):
    table, split = divided
    left = leave_out(table, split, as_csv(tmp_path, some(split, "test", 1)))[1]
    assert left.notes[-1].startswith("1 image named by exclude is in test and stays there")
