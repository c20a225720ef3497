from __future__ import annotations

import numpy as np
import pandas as pd

from plainfilm.report.audit_page import _differing_facts


def test_a_fact_that_is_the_same_for_all_images_is_not_drawn():
    rows = pd.DataFrame({"bytes": [10, 20, 30], "width": [5, 5, 5], "height": [2, 2, 4]})
    pixels = np.full((3, 4, 4), 7, np.uint8)
    found = _differing_facts(rows, pixels)
    assert list(found) == ["bytes per pixel", "height, px"]
    assert found["bytes per pixel"].tolist() == [1.0, 2.0, 1.5]
    assert _differing_facts(rows.iloc[:1], pixels[:1]) == _differing_facts(rows.iloc[:0], pixels[:0]) == {}
