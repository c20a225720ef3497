"""One wording for an image that nothing has judged, in every output."""

from __future__ import annotations

import re
from pathlib import Path

from plainfilm.runs.card import GateKinds
from plainfilm.schemas import not_judged

SOURCE = Path(__file__).parents[3] / "src/plainfilm"
OWN = re.compile(r"not judged \(|[\"'>]no (band|gate)\b|no image is judged|was not measured")


def test_it_is_said_in_one_place_only():
    found = [
        f"{path.relative_to(SOURCE).as_posix()}: {line.strip()}"
        for path in sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.j2"), *SOURCE.rglob("*.js")])
        for line in path.read_text(encoding="utf-8").splitlines()
        if OWN.search(line) and path.name != "not_judged.py"
    ]
    assert found == []


def test_the_sentences():
    assert not_judged.ABSTAINED_NOT_JUDGED == "Abstained: not judged (no band)"
    assert not_judged.OOD_NOT_JUDGED == "Out of distribution: not judged (no gate)"
    assert not_judged.KINDS_NOT_MEASURED == "Which kinds of images the gate marks: not measured"


def test_what_a_gate_marks_is_one_sentence():
    kinds = GateKinds(images=60, fresh=True, marked={"unchanged": 1, "blurred": 57})
    start = "1 of 60 unchanged, 57 of 60 blurred; counted on 60 "
    end = " its limit, each unchanged and with each change"
    assert kinds.said() == f"{start}valid images that did not set{end}"
    assert kinds.model_copy(update={"fresh": False}).said() == f"{start}of the valid images that set{end}"
