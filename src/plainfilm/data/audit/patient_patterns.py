r"""Patient-like patterns in file names: what --patient-pattern could be where no image names its patient.

A name is read as tokens. Names with the same kinds of tokens and the same separators have one form: `nor_12_img_3` and
`cov_5_img_19` are both (letters, '_', number, '_', letters, '_', number). Each token that varies within a form may end
a key: from the beginning of the name (`^(cov_\d+|nor_\d+)_`), or by itself (`^\d+_(p\d+)`). The tests of a key:
several images of one class and folder share it (many of all classes, if it is no counter), a class does not determine
it, and it is not a counter that starts again for every key before it; one that starts again in every folder comes after
the folder. A counter after a longer number (00001373_009: patient and
follow-up) is shown beside that number, even where it is almost unique. Nothing is applied; a user decides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from plainfilm.data.table.patients import key_from_name
from plainfilm.schemas.patient_patterns import PatientPattern

_MOST = 3  # patterns proposed
_FORMS = 12  # the most frequent forms of names are searched
_SLOTS = 8  # of a name: the first tokens that vary
_FEW_WORDS = 4  # so many different words at one place are written out in the pattern
_SHARED = 0.2  # at least this share of the images shares its key with another of its class and folder
_SEEN = 0.01  # at least this share of the images has a key that it shares
_MANY = 100  # a median group above this is a site or a day, not a patient
_ACROSS = 3  # median images of a key that are enough where they are of several classes or folders
_FOLDERS = ("([^/]+)/[^/]+$", "([^/]+)/[^/]+/[^/]+$")
_PATIENT_WORDS = frozenset({
    "p", "pat", "patient", "patientid", "pid", "pt", "s", "sub", "subj", "subject", "case", "person", "participant", "id",
    "mrn", "volunteer", "animal", "mouse",
})  # fmt: skip


def propose_patterns(rows: pd.DataFrame) -> list[PatientPattern]:
    """Up to three patterns for the images without a patient key, the most plausible first.

    Args:
        rows: of an image table: relative, label, given, patient.
    """
    rows = rows.loc[rows["patient"] == "", ["relative", "label", "given"]].reset_index(drop=True)
    if len(rows) < 2 * _MOST:
        return []
    named = [_judged(rows, *found) for found in _candidates(rows)]
    enough = [keys for keys in named if keys.leads or (keys.plausible and keys.shared >= _SEEN * len(rows))]
    best = sorted(enough, key=lambda keys: (not keys.leads, keys.restarts, -keys.shared))
    return [keys.proposal() for keys in _different(best)[:_MOST]]


def _different(ranked: list[_Keys]) -> list[_Keys]:
    """Those of other images first, then other keys of the same images; the same partition once."""
    first: list[_Keys] = []
    others: dict[tuple[int, ...], _Keys] = {}
    for keys in ranked:
        overlap = max((len(keys.rows.index.intersection(other.rows.index)) for other in first), default=0)
        if 2 * overlap <= len(keys.rows):
            first.append(keys)
        elif keys.partition not in {other.partition for other in first}:
            others.setdefault(keys.partition, keys)
    return [*first, *others.values()]


@dataclass(frozen=True)
class _Keys:
    """The keys that one pattern finds. `rows`: relative, label, given, key of the images that have one.

    `loose`: a key may also be shared across classes or folders only, for it is no counter or follows a word for patient.
    `leads`: a long number before a counter that is proposed; it is shown too, though hardly an image shares it.
    `restarts`: it may number the images of each folder, and comes after the folder.
    """

    pattern: str
    rows: pd.DataFrame
    loose: bool
    leads: bool = False
    restarts: bool = False

    @cached_property
    def sizes(self) -> pd.Series:
        """Images of each key."""
        return self.rows["key"].value_counts()

    @property
    def plausible(self) -> bool:
        """Whether these can be patients; see the module's first lines."""
        if len(self.sizes) <= max(2, self.rows["label"].nunique()) or self.sizes.median() > _MANY:
            return False
        cell = ["label", "given"]
        if not self.rows[[*cell, "key"]].drop_duplicates().duplicated(cell).any():
            return False
        if self.loose and self.sizes.median() >= _ACROSS:
            return True
        within = self.rows.duplicated([*cell, "key"], keep=False)
        return bool(within.mean() >= _SHARED and self.rows.loc[within, "key"].nunique() > 2)

    @property
    def shared(self) -> int:
        """Images that are not the only one of their key."""
        return int(self.sizes[self.sizes > 1].sum())

    @property
    def partition(self) -> tuple[int, ...]:
        """The same for two patterns that divide the same images in the same way."""
        return (*self.rows.index, *pd.factorize(self.rows["key"])[0])

    def proposal(self) -> PatientPattern:
        """What is shown of them."""
        given = self.rows[self.rows["given"] != ""]
        return PatientPattern(
            pattern=self.pattern, groups=len(self.sizes), images=len(self.rows),
            median_images_per_group=float(self.sizes.median()),
            straddling=int((given.groupby("key")["given"].nunique() > 1).sum()), almost_unique=self.leads,
        )  # fmt: skip


def _judged(
    rows: pd.DataFrame, pattern: str, loose: bool = False, leads: bool = False, restarts: bool = False
) -> _Keys:
    """The keys as a user's --patient-pattern would find them."""
    found = [key_from_name(name, pattern) for name in rows["relative"]]
    keyed = rows.assign(key=[key.patient if key else "" for key in found])
    return _Keys(pattern, keyed[keyed["key"] != ""], loose, leads, restarts)


def _candidates(rows: pd.DataFrame) -> Iterator[tuple[str, bool, bool, bool]]:
    """Patterns that are plausible among the names of their own form, whether they are loose, lead, and restart."""
    stems = [_stem(name) for name in rows["relative"]]
    folders = [keys for keys in (_judged(rows, pattern) for pattern in _FOLDERS) if keys.plausible]
    most = max((len(keys.sizes) for keys in folders), default=0)
    for tokens, kind in _TOKENS:
        forms: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, stem in enumerate(stems):
            if kind is _kind and _RANDOM.search(stem):
                continue
            forms[tuple(map(kind, tokens.findall(stem)))].append(i)
        for places in sorted(forms.values(), key=len, reverse=True)[:_FORMS]:
            form = _Form([tokens.findall(stems[i]) for i in places], kind)
            for pattern, loose, leads in form.plausible(rows.loc[places]):
                restarts = not (loose or leads) and _restarts(_judged(rows, pattern), most)
                yield pattern, loose, leads, restarts
    for keys in folders:
        yield keys.pattern, False, False, False


def _restarts(keys: _Keys, folders: int) -> bool:
    """Whether the keys rather number the images of each folder, and the folder is the patient, than the other way round.

    A patient with a number that is once in every folder of a visit is alike; then the folders are the fewer.

    Args:
        folders: groups by folder.
    """
    named = pd.DataFrame({"folder": keys.rows["relative"].str.rpartition("/")[0], "key": keys.rows["key"]})
    return len(keys.sizes) < folders and not named.duplicated().any() and all(
        _counts_on(of_folder) for _, of_folder in named.groupby("folder")["key"]
    )  # fmt: skip


def _counts_on(keys: Iterable[str]) -> bool:
    """Whether what the keys end with is 0, 1, 2, ... or 1, 2, 3, ...; also of words."""
    numbers = [int(found[0]) for found in (re.search(r"\d+$", key) for key in keys) if found]
    return not numbers or (min(numbers) <= 1 and max(numbers) - min(numbers) + 1 == len(set(numbers)))


def _stem(relative: str) -> str:
    name = relative.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _kind(token: str) -> str:
    """'0' for a number, 'a' for letters, else the separator itself."""
    return token if not token[0].isalnum() else "0" if token.isdecimal() else "a"


def _coarse_kind(token: str) -> str:
    """'x' for letters and numbers in any order, else the separator itself."""
    return "x" if token[0].isalnum() else token


_RANDOM = re.compile(r"(?:[^\W\d_]+\d+){3}|(?:\d+[^\W\d_]+){3}")  # 'a3f9c1' has no parts; 's3img2' has
_FINE = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
_TOKENS = ((_FINE, _kind), (re.compile(r"[^\W_]+|[\W_]+"), _coarse_kind))  # the second: 'a3f9c' is one token


_SLOT = {"0": r"\d+", "a": r"[^\W\d_]+", "x": r"[^\W_]+"}


class _Form:
    """Names of one form, as tokens."""

    def __init__(self, names: Sequence[Sequence[str]], kind: Callable[[str], str]) -> None:
        self.names = names
        self.kinds = [kind(token) for token in names[0]]
        self.values = [Counter(column) for column in zip(*names, strict=True)]
        self.slots = [i for i in range(len(self.kinds)) if self._varies(i)]

    def plausible(self, rows: pd.DataFrame) -> Iterator[tuple[str, bool, bool]]:
        """Patterns of this form that are plausible for its own rows, whether they are loose, and whether they lead.

        Only slots after a word for patient count where there are any. A counter after a token that repeats is left out:
        it may number the images of each patient.
        """
        hinted = [i for i in self.slots if len(self.slots) > 1 and self._hinted(i)]
        for i in (hinted or self.slots)[:_SLOTS]:
            if not hinted and self._counter(i) and self._repeats_before(i):
                continue
            loose = bool(hinted) or not self._counter(i)
            for pattern in self._patterns(i):
                if _judged(rows, pattern, loose).plausible:
                    yield pattern, loose, False
                    if not hinted and self._follows_number(i):
                        yield next(self._patterns(i - 2)), False, True
                    break

    def _follows_number(self, i: int) -> bool:
        """Whether token `i` is a number directly after a longer one that hardly repeats."""
        if i - 2 not in self.slots or {self.kinds[i], self.kinds[i - 2]} != {"0"} or self._repeats_before(i):
            return False
        return min(map(len, self.values[i - 2])) > max(map(len, self.values[i]))

    def _varies(self, i: int) -> bool:
        """Whether token `i` may end a key: a number with two values, one of many words, or a truly mixed token."""
        if self.kinds[i] == "x":  # img1, img2 are letters and a number
            shapes = Counter(tuple(map(_kind, _FINE.findall(value))) for value in self.values[i])
            return 2 * shapes.most_common(1)[0][1] <= len(self.values[i]) > 2
        return self.kinds[i] in _SLOT and len(self.values[i]) > (_FEW_WORDS if self.kinds[i] == "a" else 1)

    def _hinted(self, i: int) -> bool:
        """Whether the word before token `i`, or at its beginning, is one for patient."""
        words = [k for k in range(i) if self.kinds[k] == "a"]
        return bool(words) and words[-1] >= i - 2 and self.kinds[i] == "0" and all(
            word.casefold() in _PATIENT_WORDS for word in self.values[words[-1]]
        )  # fmt: skip

    def _repeats_before(self, i: int) -> bool:
        """Whether an earlier slot holds the same value in many names."""
        return any(len(self.values[k]) <= (1 - _SHARED) * len(self.names) for k in self.slots if k < i)

    def _counter(self, i: int) -> bool:
        """Whether the values of token `i` are most of the numbers from 0 or 1 on, or words."""
        if self.kinds[i] != "0":
            return self.kinds[i] == "a"
        numbers = {int(value) for value in self.values[i]}
        return min(numbers) <= 1 and max(numbers) <= 2 * len(numbers) + 1

    def _patterns(self, i: int) -> Iterator[str]:
        """The key that ends with token `i`: from the beginning of the name, and by itself with the letters before it."""
        end = _escape(self.names[0][i + 1]) if i + 1 < len(self.kinds) and self.kinds[i + 1] not in _SLOT else ""
        start = i - 1 if i and self.kinds[i - 1] == "a" else i
        yield f"^({self._between(0, i)}){end}"
        if start:
            yield f"^{self._general(0, start)}({self._between(start, i)}){end}"

    def _between(self, start: int, last: int) -> str:
        """Tokens `start` to `last` as a pattern: the alternatives that occur, or if they are many a general one."""
        found = {self._written(name, start, last + 1) for name in self.names}
        return "|".join(sorted(found)) if len(found) <= _FEW_WORDS else self._general(start, last + 1)

    def _written(self, name: Sequence[str], start: int, end: int) -> str:
        return "".join(_SLOT[self.kinds[i]] if i in self.slots else _escape(name[i]) for i in range(start, end))

    def _general(self, start: int, end: int) -> str:
        """The tokens as a pattern for every name of this form."""
        return "".join(
            _escape(self.names[0][i]) if len(self.values[i]) == 1 else _SLOT[self.kinds[i]] for i in range(start, end)
        )


def _escape(text: str) -> str:
    """Like re.escape, but a space or a hyphen stays as it is, to be read."""
    return re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text)
