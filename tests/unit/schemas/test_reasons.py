from __future__ import annotations

from plainfilm.schemas.documents import Metric
from plainfilm.schemas.number_text import reasons


def metric(why: str | None) -> Metric:
    value, method = (0.5, "wilson") if why is None else (None, f"not estimable: {why}")
    return Metric(value=value, ci_low=None, ci_high=None, n=3, n_patients=None, method=method)


def test_one_reason_is_said_once_and_several_name_their_cells():
    assert reasons([("AUROC", metric("few")), ("PPV", metric(None)), ("F1", metric("few"))]) == [
        "n/e: not estimable: few"
    ]
    several = reasons(
        [("AUROC", metric("few")), ("AUROC", metric("few")), ("F1", metric("none")), ("NPV", metric("few"))]
    )
    assert several == ["n/e (AUROC, NPV): not estimable: few", "n/e (F1): not estimable: none"]
    assert reasons([("PPV", metric(None))]) == []


def test_many_reasons_and_many_cells_are_counted():
    found = reasons([(f"class {i}", metric(f"{i} images")) for i in range(9)])
    assert len(found) == 6 and found[-1] == "n/e: 4 more reasons are in --json"
    found = reasons([("other", metric("none")), *((f"class {i}", metric("few")) for i in range(9))])
    assert found[1] == "n/e (class 0, class 1, class 2, class 3, class 4 and 4 more): not estimable: few"
