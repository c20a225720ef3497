"""A saved document is compared as it is in the file: keys that came with a later version are no edit."""

from __future__ import annotations

import json

from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.pipeline.evaluate import evaluate_run
from plainfilm.pipeline.show import show_run
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import ITSELF, numbers_hash
from plainfilm.runs.run_manifest import write_file
from plainfilm.runs.verified_files import adopt_files


def as_earlier(run: RunDir) -> None:
    """metrics.json as a version wrote it that did not know top_3_accuracy."""
    saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    for part in (saved["valid"], saved["test"]):
        del part["top_3_accuracy"]
        part["inputs"][ITSELF] = numbers_hash(part)
    write_file(run, run.metrics, json.dumps(saved))


def accesses(run: RunDir) -> int:
    return count_accesses(run, run.read_status()["seal"])[0]


def test_a_key_that_is_new_makes_no_access_and_drops_no_block(save_run):
    run = save_run("one", patients=12, looked=True, options={"evaluate.n_boot": 100})
    adopt_files(run)
    for split in ("valid", "test"):
        evaluate_run(run.root, split=split, prevalences=[0.1], again=split == "valid")
    as_earlier(run)
    before, saved = accesses(run), run.metrics.read_bytes()
    for split in ("valid", "test"):
        again = evaluate_run(run.root, split=split)
        assert ([row.prevalence for row in again.at_prevalence], again.written) == ([0.1], [])
        assert not any("Changed or gone" in note for note in show_run(run.root, split=split)[0].notes)
    assert (accesses(run), run.metrics.read_bytes()) == (before, saved)
    asked = evaluate_run(run.root, split="test", prevalences=[0.2])
    assert [row.prevalence for row in asked.at_prevalence] == [0.1, 0.2]
    assert accesses(run) == before + 1  # another question is one
