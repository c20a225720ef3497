"""The token: from an option, a file or the environment, from one of them only."""

from __future__ import annotations

import errno
import os
import stat
import string
from pathlib import Path

from plainfilm.base.files import read_regular
from plainfilm.errors import UsageError
from plainfilm.serve.security import is_loopback

_VARIABLE = "PLAINFILM_TOKEN"
_SHORTEST = 16
_LONGEST_FILE = 4096  # bytes
_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~+/=")
_MAKE = 'Make one: python -c "import secrets; print(secrets.token_urlsafe())"'


def find_token(option: str | None, file: Path | None) -> str | None:
    """The token of --token, --token-file or the environment variable, None without any.

    Raises:
        UsageError: there are two, or the file cannot be used.
    """
    variable = os.environ.get(_VARIABLE) or None
    given = [name for name, value in (("--token", option), ("--token-file", file), (_VARIABLE, variable)) if value is not None]  # fmt: skip
    if len(given) > 1:
        raise UsageError(f"The token is given by {' and '.join(given)}; expected one of them. Leave the others out.")
    return _from_file(file) if file is not None else option if option is not None else variable


def check_token(host: str, token: str | None) -> None:
    """Check that `token` is given where it must be, and long enough.

    Raises:
        UsageError: it is missing, too short or holds other characters.
    """
    if token is None:
        if not is_loopback(host):
            raise UsageError(
                f"--host {host} lets other machines in; that needs --token-file FILE, {_VARIABLE} or --token SECRET of {_SHORTEST} characters or more. {_MAKE}"
            )
        return
    if len(token) < _SHORTEST or not set(token) <= _PLAIN:
        raise UsageError(
            f"The token has {len(token)} characters; expected {_SHORTEST} or more of A-Z a-z 0-9 - . _ ~ + / =. {_MAKE}"
        )


def _from_file(path: Path) -> str:
    try:
        rights = path.stat().st_mode
        content = read_regular(path, _LONGEST_FILE + 1)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EISDIR, errno.ENXIO):
            raise _not_one_line(path, "is not a regular file") from None
        raise _not_one_line(path, f"cannot be read ({error.strerror})") from None
    if os.name == "posix" and rights & stat.S_IRWXO:  # Windows keeps rights elsewhere
        raise UsageError(f"--token-file {path} is open to every user of this machine. Close it: chmod 600 FILE")
    return _only_line(path, content)


def _only_line(path: Path, content: bytes) -> str:
    if len(content) > _LONGEST_FILE:
        raise _not_one_line(path, f"is larger than {_LONGEST_FILE} bytes")
    try:
        lines = content.decode("utf-8-sig").strip().splitlines()
    except UnicodeDecodeError:
        raise _not_one_line(path, "is not text in UTF-8") from None
    if len(lines) != 1:
        raise _not_one_line(path, f"has {len(lines)} lines" if lines else "is empty")
    return lines[0]


def _not_one_line(path: Path, found: str) -> UsageError:
    return UsageError(f"--token-file {path} {found}; expected a file of one line, the token.")
