from __future__ import annotations

import json

import pytest

from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir

SHA256 = "0123456789abcdef" * 4


def read(tmp_path, **facts):
    run = RunDir(tmp_path)
    run.status.write_text(json.dumps({"status": "done", **facts}), encoding="utf-8")
    return run.read_status()


@pytest.mark.parametrize("key", ["seal", "images", "ledger_head"])
def test_what_is_written_and_what_older_versions_wrote_is_read(tmp_path, key):
    assert read(tmp_path)["status"] == "done"
    assert read(tmp_path, **{key: None})[key] is None
    assert read(tmp_path, **{key: SHA256}, run_id="8c1f0a2b3c4d5e6f")[key] == SHA256


@pytest.mark.parametrize("key", ["seal", "images", "ledger_head"])
@pytest.mark.parametrize(
    "value", [SHA256[:-1] + "\0", "a" * 5000, "../..", "/etc/passwd", SHA256.upper(), SHA256 + "\n", "", 7, [SHA256]]
)
def test_what_is_no_hash_is_damage_before_it_is_a_file_name(tmp_path, key, value):
    with pytest.raises(DataError, match="status.json of .* is damaged"):
        read(tmp_path, **{key: value})


@pytest.mark.parametrize("value", ["a" * 65, "a\0b", "../x", "", 7])
def test_a_run_id_is_a_short_word(tmp_path, value):
    with pytest.raises(DataError, match="status.json"):
        read(tmp_path, run_id=value)


@pytest.mark.parametrize("content", ["[]", "null", '{"status": 3}', "{}"])
def test_what_says_no_status_is_damage(tmp_path, content):
    run = RunDir(tmp_path)
    run.status.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="status.json"):
        run.read_status()
