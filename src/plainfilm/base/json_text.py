"""The one reader of JSON: of a size and depth that our files have, with numbers that a float can hold."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, TypeVar

from pydantic import BaseModel

from plainfilm.base.sanitize import found_value
from plainfilm.errors import DataError

_MB = 1024 * 1024
_LARGEST = 1024 * _MB  # the facts of a million files are 300 MB
_DEEPEST = 50  # our documents have 8 levels; beyond 300 the reader itself fails
_DIGITS = 20  # a 64-bit integer and its sign; a float cannot hold one of 400 digits
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

_Model = TypeVar("_Model", bound=BaseModel)


class _BadJSONError(DataError, ValueError):
    """A text is not JSON as we write it. Also a ValueError: most readers say themselves what to do."""


def parsed_json(text: str | bytes, name: object) -> Any:
    """The value of a JSON text; `name` is the file that the error names.

    Raises:
        _BadJSONError: it is no JSON, nested too deeply, too large, or holds NaN, an infinity, an integer of more than
            20 digits, a key twice in one object, or half a surrogate pair.
    """
    if len(text) > _LARGEST:
        raise _bad(name, f"it is larger than {_LARGEST // _MB} MB")
    try:
        value = json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_object
        )
        if _LONE_SURROGATE.search(text if isinstance(text, str) else text.decode("utf-8")):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise _bad(name, f"more than {_DEEPEST} levels deep") from None
    except ValueError as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise _bad(name, "not text" if isinstance(error, UnicodeError) else why) from None
    if _is_deep(value):
        raise _bad(name, f"more than {_DEEPEST} levels deep")
    return value


def json_model(kind: type[_Model], text: str | bytes, name: object) -> _Model:
    """The text as a document of `kind`.

    Raises:
        _BadJSONError: as parsed_json(). ValidationError: it is another document.
    """
    parsed_json(text, name)
    return kind.model_validate_json(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two equal keys they take, so that two of them would read two documents."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {found_value(next(key for key in found if counts[key] > 1))} twice in one object")
    return found


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]}")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST + 1):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        if not parts:
            return False
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return True


def _bad(name: object, why: str) -> _BadJSONError:
    return _BadJSONError(f"{name} is not JSON that can be read ({why}). Restore it from a backup, or write it again.")
