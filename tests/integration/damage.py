"""Files as a bad disk, a lazy hand or an attacker leaves them: mutants from fixed seeds, and what may become of them."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable

from plainfilm.errors import PlainfilmError

CODES = {0, 1, 2, 3, 4, 5, 130, 141}
ODD = (
    None, True, -1, 0, 1e308, 10**19, -0.0, "", "\0", "\x1b]0;x", "\u202e", "x" * 300, "done", [], {}, ["done"], [[]],
    {"": None}, [None], {"a": [1]}, 0.5, "nan", "1e999",
)  # fmt: skip
RAW = (
    b"[" * 9000, b'{"a":' * 9000, b"9" * 5000, b"NaN", b"\xff\xfe", b"", b"\0", b'"\\ud800"', b"1e999", b"null", b"[]",
    b'"', b",", b"\n", b"\r", b"\x1b[31m", b"!!float x", b"&a [*a]", b"- " * 60, b"? [a]\n: b", b"a: " * 50, b"x" * 200_000,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to three places cut, doubled, swapped or replaced."""
    for _ in range(rng.randint(1, 3)):
        i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        j = min(j, i + rng.choice((1, 8, 200, 10**9)))
        new = rng.choice((b"", rng.choice(RAW), data[i:j] * 2, rng.randbytes(3), bytes(reversed(data[i:j]))))
        data = data[:i] + new + data[j:]
    return data


def changed(value: object, rng: random.Random) -> object:
    """A JSON value with an odd one in some place, or without a key."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    return rng.choice(ODD)


def mutant(data: bytes, rng: random.Random) -> bytes:
    """A damaged file; half of the JSON stays JSON, with another value."""
    if rng.random() < 0.5:
        with contextlib.suppress(ValueError):
            lines = [json.loads(data)] if data[:1] in b"[{" else []
            return json.dumps(changed(lines[0], rng)).encode() if lines else damaged(data, rng)
    return damaged(data, rng)


def errors_of(work: Callable[[], object]) -> list[str]:
    """What is neither done nor refused in one line of a known code: one text, or none."""
    try:
        work()
    except PlainfilmError as error:
        said = str(error)
        return [said[:200]] if error.exit_code not in CODES or "\n" in said or len(said) > 12_000 else []
    except Exception as error:  # noqa: BLE001 - what we look for
        return [f"{type(error).__name__}: {str(error)[:200]}"]
    return []
