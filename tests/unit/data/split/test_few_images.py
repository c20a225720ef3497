"""One note for all classes with fewer than five train images."""

import pandas as pd

from plainfilm.data.split.few_images import few_images_note


def rows(**train: int) -> pd.DataFrame:
    """So many train images of each class, and nine valid ones."""
    found = [(name, split) for name, n in train.items() for split, m in (("train", n), ("valid", 9)) for _ in range(m)]
    return pd.DataFrame(found, columns=["label", "split"])


def test_five_images_are_enough():
    assert few_images_note(rows(a=5, b=900)) == []


def test_the_fewest_come_first_and_a_class_that_is_only_in_valid_counts_as_none():
    assert few_images_note(rows(a=4, b=5)) == [
        "1 class has fewer than 5 train images: a (4). Add images, or merge or leave out such classes."
    ]
    (note,) = few_images_note(rows(**{f"c{i}": 3 for i in range(900)}, z=0))
    assert note.startswith("901 classes have fewer than 5 train images: z (0), c0 (3), c1 (3) and 898 more. ")
