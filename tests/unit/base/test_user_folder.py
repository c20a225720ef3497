"""Where the user's folder is, on each system, and for users without a home."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plainfilm.base.user_folder import user_folder
from plainfilm.errors import UsageError


@pytest.fixture
def bare(monkeypatch):
    """An environment without any variable that says where the folder is."""
    for name in ("PLAINFILM_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def at_home(patch, home):
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))


@pytest.mark.parametrize(
    ("system", "below"),
    [
        ("linux", ".local/share"),
        ("freebsd14", ".local/share"),
        ("darwin", "Library/Application Support"),
        ("win32", "AppData/Local"),
    ],
)
def test_each_system_has_its_data_folder(bare, tmp_path, system, below):
    at_home(bare, tmp_path)
    bare.setattr(sys, "platform", system)
    assert user_folder() == tmp_path / below / "plainfilm"
    assert list(tmp_path.iterdir()) == []  # asking makes nothing


@pytest.mark.parametrize(
    ("system", "variable"), [("linux", "XDG_DATA_HOME"), ("win32", "LOCALAPPDATA"), ("darwin", None)]
)
def test_a_system_follows_its_own_variable_only(bare, tmp_path, system, variable):
    at_home(bare, tmp_path / "home")
    bare.setattr(sys, "platform", system)
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        bare.setenv(name, str(tmp_path / name))
    assert user_folder().parent == (tmp_path / variable if variable else tmp_path / "home/Library/Application Support")


def test_a_relative_or_empty_variable_is_ignored(bare, tmp_path):
    at_home(bare, tmp_path)
    bare.setattr(sys, "platform", "linux")
    for value in ("", "data", "./data"):
        bare.setenv("XDG_DATA_HOME", value)
        assert user_folder() == tmp_path / ".local/share/plainfilm"


def test_plainfilm_home_comes_first(bare, tmp_path):
    at_home(bare, tmp_path)
    bare.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    bare.setenv("PLAINFILM_HOME", "~/kept")
    assert user_folder() == tmp_path / "kept"


def test_an_unknown_home_in_plainfilm_home_is_refused(bare, refusal):
    bare.setenv("PLAINFILM_HOME", "~nobody-of-this-name/x")
    assert "Give the full path" in refusal(user_folder, UsageError)


@pytest.mark.parametrize("given", ["home", "./home", "../home", "."])
def test_a_relative_plainfilm_home_is_refused(bare, refusal, given):
    """Each working folder would count accesses from 1."""
    bare.setenv("PLAINFILM_HOME", given)
    said = refusal(user_folder, UsageError)
    assert repr(given) in said and "relative" in said and "full path" in said


@pytest.mark.parametrize("home", ["", "/"])
@pytest.mark.skipif(sys.platform == "win32", reason="HOME is not read there")
def test_a_home_at_the_root_is_none(bare, home):
    """Else root in a container would write to /.local, and another user be refused there."""
    bare.setenv("HOME", home)
    assert user_folder() is None


def test_a_user_without_a_name_has_no_folder(bare):
    def unknown(self):
        raise RuntimeError("Could not determine home directory.")

    bare.setattr(Path, "expanduser", unknown)
    assert user_folder() is None
