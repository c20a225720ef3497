"""What `doctor` reports about a machine, and when it warns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import SPEED_SWITCHES
from plainfilm.pipeline.doctor import _warnings_for, examine
from plainfilm.schemas.data import DoctorDocument
from plainfilm.train.machine.other_processes import Load, LoadMeter


@pytest.fixture(scope="module")
def healthy() -> DoctorDocument:
    """An idle machine of four cores with free disk space."""
    found = examine()
    cache = found.cache.model_copy(update={"writable": True, "free_bytes": 10**11})
    levers = [lever.model_copy(update={"on": True}) for lever in found.levers]
    return found.model_copy(
        update={
            "processors": 8,
            "cores": 4,
            "threads": 4,
            "load": 0.2,
            "others_cores": 0.1,
            "slowdown": 1.0,
            "cache": cache,
            "levers": levers,
        }
    )


def test_a_healthy_machine_has_no_warning(healthy: DoctorDocument) -> None:
    assert _warnings_for(healthy) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"others_cores": 6.0, "slowdown": 1.25},
            "other processes use 6.0 of 8 cores. Training takes at least 1.2 times as long",
        ),
        ({"threads": 1}, "1 of 4 cores are used"),
    ],
)
def test_what_slows_training_is_reported_with_a_remedy(healthy: DoctorDocument, change: dict, words: str) -> None:
    warnings = _warnings_for(healthy.model_copy(update=change))
    assert len(warnings) == 1
    assert words in warnings[0]


def test_a_load_of_the_past_is_no_warning(healthy: DoctorDocument) -> None:
    assert _warnings_for(healthy.model_copy(update={"load": 9.0})) == []


def test_the_load_is_measured_and_its_cost_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadMeter, "read", lambda _: Load(1.5, 0.1, 2))
    monkeypatch.setattr("plainfilm.train.machine.speed.threads_for", lambda _: 2)
    found = examine()
    assert (found.others_cores, found.slowdown) == (1.5, 1.75)


@pytest.mark.parametrize(
    ("change", "words"), [({"writable": False}, "cannot be written"), ({"free_bytes": 10**9}, "1.0 GB are free")]
)
def test_a_cache_without_room_is_reported(healthy: DoctorDocument, change: dict, words: str) -> None:
    found = healthy.model_copy(update={"cache": healthy.cache.model_copy(update=change)})
    assert words in _warnings_for(found)[0]
    assert "PLAINFILM_CACHE" in _warnings_for(found)[0]


def test_missing_glibc_is_reported(healthy: DoctorDocument) -> None:
    levers = [healthy.levers[0].model_copy(update={"on": False}), *healthy.levers[1:]]
    assert "needs glibc" in _warnings_for(healthy.model_copy(update={"levers": levers}))[0]


def test_the_command_prints_everything_and_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "not" / "there"))
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["versions"]["plainfilm"]
    assert found["threads"] >= 1
    assert found["devices"][0] == "cpu"
    assert {lever["name"] for lever in found["levers"]} == {
        *SPEED_SWITCHES,
        "threads",
        "precision",
        "wait_policy",
        "cache",
    }
    assert {lever["switch"] for lever in found["levers"]} >= {"--without allocator", "--threads N", "--no-cache"}
    assert found["cache"]["folder"] == str(tmp_path / "not" / "there")
    assert not (tmp_path / "not").exists()
    assert "speed setting" in CliRunner().invoke(app, ["doctor"]).stdout
