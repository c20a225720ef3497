"""What a shell offers after a word is begun: words of an option, networks, and run folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def of(words: Iterable[str]) -> Callable[[str], list[str]]:
    """A completion that offers these words."""

    def offered(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return offered


def networks(incomplete: str) -> list[str]:
    """Names of the networks that can be trained."""
    from plainfilm.models.registry import MODELS

    return of(MODELS)(incomplete)


def run_folders(incomplete: str) -> list[str]:
    """Run folders (those with a status.json) in the folder that is typed so far, and one folder deeper."""
    base = incomplete[: incomplete.rfind("/") + 1]
    return sorted(name for name in _runs_below(base, deeper=True) if name.startswith(incomplete))


def _runs_below(base: str, *, deeper: bool) -> Iterator[str]:
    try:
        names = [entry.name for entry in os.scandir(os.path.expanduser(base) or ".") if entry.is_dir()]
    except OSError:
        return
    for name in names:
        if Path(os.path.expanduser(base), name, "status.json").is_file():
            yield base + name
        elif deeper and not name.startswith("."):
            yield from _runs_below(f"{base}{name}/", deeper=False)
