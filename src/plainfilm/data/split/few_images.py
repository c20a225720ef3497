"""Classes with hardly an image to learn from."""

from __future__ import annotations

import pandas as pd

from plainfilm.base.listing import some

_FEW = 5  # train images


def few_images_note(rows: pd.DataFrame) -> list[str]:
    """One note that names the classes with fewer than five train images, the fewest first; none where there is no such class.

    Args:
        rows: with `label` and `split`.
    """
    counts = dict.fromkeys(sorted(set(rows["label"])), 0)
    counts |= {str(name): int(n) for name, n in rows.loc[rows["split"] == "train", "label"].value_counts().items()}
    few = sorted((n, name) for name, n in counts.items() if n < _FEW)
    if not few:
        return []
    who = some([f"{name} ({n})" for n, name in few], 3)
    what = "1 class has" if len(few) == 1 else f"{len(few):,} classes have"
    return [f"{what} fewer than {_FEW} train images: {who}. Add images, or merge or leave out such classes."]
