"""The positive class of two, read from their names: the one that does not say "nothing was found"."""

from __future__ import annotations

import re

BY_ALPHABET = "positive class by alphabet; --positive changes it"  # in the note of a run whose names did not decide

_NEGATIVE = frozenset({
    "normal", "normals", "negative", "negatives", "neg", "healthy", "benign", "control", "controls", "controlled",
    "unremarkable", "absent", "false", "none", "nofinding", "nofindings", "ok", "good", "intact",
})  # fmt: skip
_NEGATORS = frozenset({"no", "non", "not", "without"})
# Written together with a word, "un" and "no" also begin unilateral, nodule and nose: only these words, and but for "un"
# the name of the other class, are negated by a prefix.
_FINDINGS = frozenset({
    "abnormal", "abnormality", "affected", "cancer", "cancerous", "covid", "damaged", "demented", "disease", "diseased",
    "dr", "effusion", "finding", "findings", "fracture", "fractured", "glaucoma", "glaucomatous", "ill", "infected",
    "infection", "infiltrated", "injured", "involved", "lesion", "lesional", "malignant", "mass", "melanoma",
    "metastatic", "neoplastic", "nodule", "parasitized", "pathological", "pneumonia", "referable", "sick", "symptomatic", "tb", "tuberculosis", "tumor", "tumour", "tumoral",
})  # fmt: skip
_PREFIXES = ("non", "not", "no", "un")
_DISEASES = (("normal", "pressure"), ("normal", "tension"))  # of hydrocephalus and glaucoma
_ZERO = re.compile(r"(?:(?:class|label|target|grade)[ _-]*)?0(?:\.0*)?|-1(?:\.0*)?", re.IGNORECASE)
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def positive_of_two(first: str, second: str) -> tuple[str, bool]:
    """The positive class, and whether the names decided: exactly one of them is negative, or more clearly so.

    Otherwise it is the last by alphabet.
    """
    mine, theirs = _negative(first, second), _negative(second, first)
    if mine == theirs:
        return max(first, second), False
    return (second if mine > theirs else first), True


def is_negative(name: str, *others: str) -> bool:
    """Whether a name says that nothing was found, by itself or by negating one of the others."""
    return any(_negative(name, other) for other in ("", *others))


def _negative(name: str, other: str) -> int:
    """How clearly a name is negative: 2 by a known word or as the negated other class, 1 by a negation, 0 not at all."""
    words = _words(name)
    if _ZERO.fullmatch(name.strip()) or (len(words) == 1 and words[0] in _NEGATORS):
        return 2
    known = _FINDINGS | {word for word in _words(other) if len(word) > 2 and not word.isdecimal()}
    found = max((_of_word(words, i, known) for i in range(len(words))), default=0)
    # non-COVID pneumonia is a finding beside Normal, and none beside COVID pneumonia
    return min(found, 1) if not _NEGATIVE & {*words} and sum(word in _FINDINGS for word in words) > 1 else found


def _of_word(words: list[str], i: int, known: frozenset[str]) -> int:
    """How clearly the word at `i` is negative, by itself or by a negation before it."""
    word, before = words[i], words[i - 1] if i else ""
    negated = any(words[k] in _NEGATORS and not words[k + 1].isdecimal() for k in range(i))  # No_1 is a number
    if word in _NEGATIVE:  # AbNormal and un-healthy are positive
        return 0 if negated or before in ("ab", "un") or tuple(words[i : i + 2]) in _DISEASES else 2
    if word == "free" and i and i == len(words) - 1:  # cancer-free
        return 2
    if word in known:
        return 2 if negated or (before == "un" and word in _FINDINGS) else 0
    return 2 if _prefixed(word, known) else int(negated)


def _prefixed(word: str, known: frozenset[str]) -> bool:
    """Whether a word is a known one with a prefix that negates it: noncovid, uninfected; not unhealthy, nodule, unstable."""
    return any(
        word.startswith(prefix) and word[len(prefix) :] in (_FINDINGS if prefix == "un" else known - _NEGATIVE)
        for prefix in _PREFIXES
    )


def _words(name: str) -> list[str]:
    """'CT_NonCOVID-19' -> ['ct', 'non', 'covid', '19']."""
    return [word.casefold() for word in re.findall(r"\d+|[^\W\d_]+", _CASE_CHANGE.sub(" ", name))]
