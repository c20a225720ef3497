"""The line in which files found are accounted for: used, or not and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

_EXAMPLES = 3


def counts_line(used: int, excluded: Iterable[tuple[str, str]]) -> str:
    """'12 files found = 9 used + 1 quarantined (E_CORRUPT 1) + 0 duplicates dropped + 2 ignored (hidden 2)'.

    Args:
        excluded: state (quarantined, duplicate or ignored) and code of each other file.
    """
    counts: dict[str, dict[str, int]] = {"quarantined": {}, "duplicate": {}, "ignored": {}}
    for state, code in excluded:
        counts[state][code] = counts[state].get(code, 0) + 1
    totals = {state: sum(by_code.values()) for state, by_code in counts.items()}
    return (
        f"{used + sum(totals.values())} files found = {used} used "
        f"+ {totals['quarantined']} quarantined{_reasons(counts['quarantined'])} + {totals['duplicate']} duplicates dropped "
        f"+ {totals['ignored']} ignored{_reasons(counts['ignored'])}"
    )


def example_lines(excluded: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason with the names of its first three files; for -v.

    Args:
        excluded: code and relative path of each file that is not used.
    """
    names: dict[str, list[str]] = defaultdict(list)
    for code, name in excluded:
        names[code].append(name)
    return [
        f"  {code}: {', '.join(map(repr, some[:_EXAMPLES]))}{', ...' if len(some) > _EXAMPLES else ''}"
        for code, some in sorted(names.items())
    ]


def _reasons(counts: Mapping[str, int]) -> str:
    """' (E_CORRUPT 2, E_FORMAT 1)'; '' without a reason."""
    return f" ({', '.join(f'{code} {n}' for code, n in sorted(counts.items()))})" if counts else ""
