"""card.yaml of a run: what only people can say of a model, the fields that a model card and CLAIM 2024 leave open.

It is the people's file: it is edited by hand or by `plainfilm card --set`, so run_manifest.json does not hold its hash.
A bundle's card.json takes it in, and the bundle's manifest then holds it as it was.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from plainfilm.base.files import atomic_write
from plainfilm.base.sanitize import found_value, visible
from plainfilm.config.strict_yaml import dump_yaml, read_yaml
from plainfilm.errors import DataError, UsageError
from plainfilm.runs.folder import RunDir

_LONGEST = 1000  # characters of one field


class _PeopleField(NamedTuple):
    """A field: its section of MODEL_CARD.md ('' where it is an item of CLAIM alone), name there, question, and the items
    of CLAIM 2024 that it fills."""

    section: str
    title: str
    question: str
    claim: tuple[int, ...] = ()


INTENDED, DATA, RISKS, CONTACT, LICENCES = "Intended use", "Data", "Ethics and risks", "Contact", "Licences"
FIELDS = {
    "intended_use": _PeopleField(INTENDED, "Intended task and users", "Which task is it for, and who would use it?", (3,)),
    "out_of_scope": _PeopleField(INTENDED, "Out-of-scope uses", "For which uses is it not meant?"),
    "data_source": _PeopleField(DATA, "Where and when the images were acquired", "Which hospitals or collections, which years?", (7,)),
    "equipment": _PeopleField(DATA, "Machines and acquisition protocol", "Which machines, views and settings?", (13,)),
    "population": _PeopleField(DATA, "Age, sex and other characteristics of the patients", "Who are the patients, in each partition?", (36,)),
    "inclusion": _PeopleField(DATA, "Inclusion and exclusion criteria", "Who was included, who was left out, and why?", (8,)),
    "annotators": _PeopleField(DATA, "Who set the labels, and how", "How many people of which training, from what?", (16,)),
    "agreement": _PeopleField(DATA, "Agreement of readers", "How often did readers agree; who settled the rest?", (18,)),
    "ethics": _PeopleField(DATA, "Ethics approval and consent", "Which board approved it, and did patients consent?"),
    "data_licence": _PeopleField(DATA, "Licence of the images", "Under which licence or agreement are they used?"),
    "harms": _PeopleField(RISKS, "Harms considered and what was done about them", "What can go wrong for whom, and what was done?"),
    "groups_not_tested": _PeopleField(RISKS, "Groups for which the model was not tested", "Which patients or places does the test set lack?"),
    "limits": _PeopleField(RISKS, "Limitations", "What can it not do, and where is the study weak?", (40,)),
    "contact": _PeopleField(CONTACT, "Who made this model, and where to report problems", "Whom does one write to?"),
    "licence": _PeopleField(LICENCES, "Licence of these weights", "Under which may others use them, e.g. Apache-2.0?"),
    "title": _PeopleField("", "", "What is the title, with the technology in it?", (1,)),
    "summary": _PeopleField("", "", "What are methods, results and conclusions in short?", (2,)),
    "objectives": _PeopleField("", "", "What are the aims and hypotheses?", (4,)),
    "design": _PeopleField("", "", "Is the study prospective or retrospective?", (5,)),
    "goal": _PeopleField("", "", "Is the goal a new model, a comparison, feasibility?", (6,)),
    "subsets": _PeopleField("", "", "Were parts of the data selected, and how?", (10,)),
    "deidentification": _PeopleField("", "", "How were the images made anonymous?", (11,)),
    "reference_standard": _PeopleField("", "", "What decides the true class?", (14,)),
    "reference_reason": _PeopleField("", "", "Why that, and what are its limits?", (15,)),
    "test_annotation": _PeopleField("", "", "How were the test images labelled?", (17,)),
    "sample_size": _PeopleField("", "", "How was the number of patients chosen?", (21,)),
    "registration": _PeopleField("", "", "Under which number is the study registered?", (34,)),
    "implications": _PeopleField("", "", "What would it mean for practice?", (41,)),
    "protocol": _PeopleField("", "", "Where is the full protocol?", (42,)),
    "availability": _PeopleField("", "", "Where are software, model and data?", (43,)),
    "funding": _PeopleField("", "", "Who paid, and what was their role?", (44,)),
}  # fmt: skip
_HEAD = (
    "What only people can say of this model. Text between the quotes fills a field; '' leaves it open.",
    "plainfilm card RUN --set FIELD=TEXT writes here too; it keeps the texts, not comments of your own.",
    "plainfilm report and export take it in. Write nothing that identifies a patient: a bundle is passed on.",
)


def read_people_card(run: RunDir) -> dict[str, str]:
    """The filled fields, in the order of FIELDS; none where there is no file.

    Raises:
        DataError: an unknown field, or what is no text. ConfigError: the file is no YAML.
    """
    if not run.people_card.exists():
        return {}
    raw = read_yaml(run.people_card, "card")
    return _filled(raw, str(run.people_card))


def of_bundle(raw: Mapping[str, str]) -> dict[str, str]:
    """The fields of a bundle's card.json, which may come from anywhere.

    Raises:
        ValueError: they are none that card.yaml could hold.
    """
    try:
        return _filled(raw, "card.json")
    except DataError as error:
        raise ValueError(str(error)) from None


def open_fields(filled: Mapping[str, str], *, model_card: bool = False) -> list[str]:
    """Names of the fields without a text; `model_card`: only those that MODEL_CARD.md has."""
    return [name for name, field in FIELDS.items() if name not in filled and (field.section or not model_card)]


def write_people_card(run: RunDir, settings: Sequence[str]) -> None:
    """Fill fields as --set FIELD=TEXT says, an empty text opens one again, and keep the others; the run's lock must be held.

    Raises:
        UsageError: no such field, one that is given twice, or a text that is too long.
    """
    given = _fields_given(settings)
    atomic_write(run.people_card, _as_yaml({**read_people_card(run), **given}))


def _fields_given(settings: Sequence[str]) -> dict[str, str]:
    """The texts of --set FIELD=TEXT by field."""
    found: dict[str, str] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"--set {found_value(setting)}: expected FIELD=TEXT, such as contact='Jane Doe, jd@example.org'.")  # fmt: skip
        if name not in FIELDS:
            raise UsageError(f"--set {found_value(name)}: {_no_such_field(name)}")
        if name in found:
            raise UsageError(f"--set {name} is given twice; give one text.")
        found[name] = _clean(text)
        if len(found[name]) > _LONGEST:
            raise UsageError(f"--set {name}: {_too_long(found[name])}")
    return found


def _filled(raw: Mapping[str, Any], where: str) -> dict[str, str]:
    found = {}
    for name, text in raw.items():
        if name not in FIELDS:
            raise DataError(f"{where}: {_no_such_field(str(name))}")
        if text is not None and not isinstance(text, str):
            raise DataError(f"{where}: {name} holds {found_value(text)}; expected text, in quotes.")
        found[name] = _clean(text or "")
        if len(found[name]) > _LONGEST:
            raise DataError(f"{where}: {name}: {_too_long(found[name])}")
    return {name: found[name] for name in FIELDS if found.get(name)}


def _no_such_field(name: str) -> str:
    near = difflib.get_close_matches(name[:40], FIELDS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "plainfilm card RUN lists them."
    return f"there is no field {found_value(name)}; {hint}"


def _too_long(text: str) -> str:
    return f"{len(text):,} characters; at most {_LONGEST:,} are taken. Shorten it, or link to a page."


def _clean(text: str) -> str:
    """One line without characters that a page or terminal would not show."""
    return visible(" ".join(text.split()))


def _as_yaml(filled: Mapping[str, str]) -> str:
    lines = [f"# {line}" for line in _HEAD]
    for name, field in FIELDS.items():
        where = [f"MODEL_CARD.md: {field.title}"] if field.section else []
        where += [f"CLAIM 2024, item {n}" for n in field.claim]
        text = dump_yaml({name: filled.get(name, "")}).rstrip("\n")
        lines += ["", f"# {field.question} ({'; '.join(where)})", text]
    return "\n".join(lines) + "\n"
