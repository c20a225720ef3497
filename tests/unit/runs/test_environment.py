"""environment.json of any origin gives versions that are text, or one line."""

from __future__ import annotations

import json

import pytest

from plainfilm.runs.environment import read_environment
from plainfilm.runs.folder import RunDir

FACTS = {"plainfilm": "0.3", "libraries": {"safetensors": "0.5"}, "speed": {"device": "cpu", "threads": 2}}


def test_what_was_written_is_read(tmp_path):
    run = RunDir(tmp_path)
    run.environment.write_text(json.dumps(FACTS))
    assert read_environment(run).versions == {"plainfilm": "0.3", "safetensors": "0.5"}


@pytest.mark.parametrize("odd", [[], None, 1, {"a": 1}])
def test_a_version_that_is_no_text_is_one_line_and_no_bug_at_export(tmp_path, refusal, odd):
    run = RunDir(tmp_path)
    run.environment.write_text(json.dumps({**FACTS, "libraries": {"safetensors": odd}}))
    assert "environment.json is missing or damaged" in refusal(lambda: read_environment(run))
