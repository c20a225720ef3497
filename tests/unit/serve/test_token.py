"""The token comes from one place, and not from a file that all may read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plainfilm.errors import UsageError
from plainfilm.serve.token import check_token, find_token

TOKEN = "a-token-of-twenty-signs"  # noqa: S105


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PLAINFILM_TOKEN", raising=False)
    path = tmp_path / "secret"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def refused(option: str | None, file: Path | None) -> str:
    with pytest.raises(UsageError) as caught:
        find_token(option, file)
    assert TOKEN not in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_each_place_gives_it(secret: Path, monkeypatch: pytest.MonkeyPatch):
    assert find_token(None, None) is None
    assert find_token(TOKEN, None) == TOKEN
    assert find_token(None, secret) == TOKEN
    monkeypatch.setenv("PLAINFILM_TOKEN", "from-the-environment")
    assert find_token(None, None) == "from-the-environment"
    monkeypatch.setenv("PLAINFILM_TOKEN", "")
    assert find_token(None, None) is None


def test_two_places_are_an_error(secret: Path, monkeypatch: pytest.MonkeyPatch):
    assert "by --token and --token-file;" in refused(TOKEN, secret)
    monkeypatch.setenv("PLAINFILM_TOKEN", TOKEN)
    assert "by --token-file and PLAINFILM_TOKEN;" in refused(None, secret)
    assert "by --token and PLAINFILM_TOKEN;" in refused(TOKEN, None)


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX")
@pytest.mark.parametrize("rights", [0o604, 0o602, 0o601, 0o644])
def test_a_file_open_to_all_is_refused(secret: Path, rights: int):
    secret.chmod(rights)
    assert "open to every user" in refused(None, secret)


def test_what_is_no_small_file_is_refused(secret: Path, tmp_path: Path):
    assert "cannot be read" in refused(None, tmp_path / "none")
    assert "is not a regular file" in refused(None, tmp_path)
    for content, found in (
        (b"x" * 4097, "is larger than 4096 bytes"), (b"\xff\xfe", "is not text in UTF-8"), (b"", "is empty"), (b" \n", "is empty"),
        (f"{TOKEN}\n{TOKEN[::-1]}\n".encode(), "has 2 lines"), (f"{TOKEN}\r\n\r\nmore".encode(), "has 3 lines"),
        (f"{TOKEN}\rmore".encode(), "has 2 lines"),
    ):  # fmt: skip
        secret.write_bytes(content)
        assert f"{found}; expected a file of one line, the token." in refused(None, secret)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_editors_may_add_line_ends_and_a_mark(secret: Path, mark: str, end: str):
    secret.write_bytes(f"{mark}{TOKEN}{end}".encode())
    assert find_token(None, secret) == TOKEN


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_a_fifo_or_device_does_not_hang(secret: Path, monkeypatch: pytest.MonkeyPatch):
    """Also one that takes the file's place after its rights were looked at."""
    rights = secret.stat()
    secret.unlink()
    os.mkfifo(secret, 0o600)
    assert "is not a regular file" in refused(None, secret)
    assert "is not a regular file" in refused(None, Path("/dev/zero"))
    monkeypatch.setattr(Path, "stat", lambda self, **how: rights)
    assert "is not a regular file" in refused(None, secret)


@pytest.mark.parametrize("token", ["x" * 15, "x" * 20 + " ", "x" * 20 + "\u00e9", ""])
def test_short_or_odd_ones_are_refused(token: str):
    with pytest.raises(UsageError, match="expected 16 or more"):
        check_token("127.0.0.1", token)
    check_token("127.0.0.1", "x" * 16)
