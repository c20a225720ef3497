"""Lists in sentences."""

from __future__ import annotations

import pytest

from plainfilm.base.listing import both_ends, some


@pytest.mark.parametrize(
    ("n", "said"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 more"), (9, "0, 1, 2, 3, 4 and 4 more")],
)
def test_a_long_list_is_cut_and_the_rest_counted(n, said):
    assert some([str(i) for i in range(n)]) == said
    assert some([str(i) for i in range(n)], most=20) == ", ".join(map(str, range(n)))


def test_both_ends_of_a_long_list_and_all_of_a_short_one():
    assert both_ends(range(12)) == list(range(12))
    assert both_ends(range(13)) == [0, 1, 2, 3, 4, None, 8, 9, 10, 11, 12]
