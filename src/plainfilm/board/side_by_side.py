"""Configs of chosen runs side by side: the keys that differ, then the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NONE = "-"


@dataclass(frozen=True)
class _Keys:
    """_Keys with their value in each run as text, in the order of the first config that has them."""

    differ: dict[str, list[str]]
    same: dict[str, str]


def side_by_side(configs: Mapping[str, Mapping[str, Any]]) -> _Keys:
    """Which keys differ between the configs of several runs; a key that one lacks differs."""
    flat = [dict(_flat(config)) for config in configs.values()]
    keys = dict.fromkeys(key for config in flat for key in config)
    values = {key: [config.get(key, _NONE) for config in flat] for key in keys}
    differ = {key: found for key, found in values.items() if len(set(found)) > 1}
    return _Keys(differ, {key: found[0] for key, found in values.items() if key not in differ})


def _flat(tree: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
