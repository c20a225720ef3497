"""What labels and patients of DATA can be beside plain names, and what is done with each kind.

The messages, the notes of a run and the page docs/reference/labels.md are made from this one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from plainfilm.errors import DataError
from plainfilm.schemas import marks


@dataclass(frozen=True)
class Kind:
    """One kind of label or patient.

    found: how the kind is recognised. where: which DATA is checked for it. action: 'refused' ends with exit code 2;
    'noted' goes on, and every output carries the words. option: what decides otherwise.
    words: the sentence said, with the facts in braces.
    """

    found: str
    where: Literal["table", "folders and table"]
    action: Literal["refused", "noted"]
    words: str
    option: str = ""

    @property
    def exit_code(self) -> int:
        """What the command ends with because of this kind."""
        return DataError.exit_code if self.action == "refused" else 0

    def refuse(self, **facts: object) -> NoReturn:
        """Raises: DataError: always, with the words."""
        raise DataError(self.words.format(**facts).rstrip())

    def note(self, **facts: object) -> str:
        """The words for these facts."""
        return self.words.format(**facts)


NEARLY_EQUAL = Kind(
    "Two labels are equal but for upper and lower case, Unicode form (NFC), dashes, or the kind and number of inner spaces.",
    "folders and table", "refused",
    "The classes {first} and {second} differ only in case, spaces, dashes or Unicode form ({here}; {there}). Write both the same way.",
)  # fmt: skip
SAME_READING = Kind(
    "Two labels read the same, and are written with letters of different scripts: a Cyrillic letter in NORMAL.",
    "folders and table", "noted",
    "The classes {first} and {second} read the same and are two classes ({here}; {there}). If they are one, write both with the same letters.",
)  # fmt: skip
SPACES = Kind(
    "Labels are equal but for spaces around them.",
    "folders and table", "noted",
    "Spaces around a label are removed: {spellings} are one class, {label!r}.",
)  # fmt: skip
MISSING = Kind(
    "A cell is empty, nan, none, null, NA, n/a, unknown, missing, ?, - or an error of a spreadsheet (#N/A, #REF!); or -1, "
    "unless the labels are exactly -1 and 1.",
    "table", "refused",
    "{path}: {n} of {of} rows without a label: {spellings} ({rows}). Fill them in, or leave these rows out with "
    "--missing-label drop. {keep}",
    "--missing-label drop, --keep-label NAME",
)  # fmt: skip
DROPPED = Kind(
    "The same, with --missing-label drop.", "table", "noted",
    "{n} of {of} rows without a label ({spellings}) were left out by --missing-label drop.",
    "--missing-label drop",
)  # fmt: skip
EQUAL_NUMBERS = Kind(
    "Labels are spelled differently and equal as numbers: 1, 1.0, 01.", "table", "noted",
    "Labels that are equal as numbers are one class: {spellings}. --labels-as-text keeps them apart.",
    "--labels-as-text",
)  # fmt: skip
MANY_NUMBERS = Kind(
    "All labels are numbers, and more than ten.", "table", "noted",
    "The labels are {n} different numbers ({low} to {high}); each is taken as a class of its own.",
    "--label-column NAME",
)  # fmt: skip
QUANTITY = Kind(
    "All labels are numbers, and one is no integer; or half of the values (of three or more) have fewer than three "
    "images; or they are more than five, begin above 1, and half of them have fewer than thirty images. "
    "Or beside text three or more numbers, one of them no integer, on half of the images.",
    "table", "refused",
    "{path}: the labels are {n} different numbers ({low} to {high}) on {of} images: a quantity, not a class. "
    "plainfilm predicts classes; write ranges as labels (such as 'under 60'), or keep the numbers as names with "
    "--labels-as-text.",
    "--labels-as-text",
)  # fmt: skip
SEVERAL = Kind(
    "A cell names several labels: A|B, A;B, ['A', 'B']; or labels of other cells with a comma, +, /, & or a space between them.",
    "table", "refused",
    "{path}: several labels per image in {n} of {of} rows (first: {first!r}, row {row}). plainfilm takes one; "
    "--one-label {example} trains {example} present against absent. Labels: {labels}.",
    "--one-label NAME",
)  # fmt: skip
LISTS_OF_ONE = Kind(
    "Cells are lists of one label, or empty lists: ['A'], [].", "table", "noted",
    "Labels were written as lists of one, such as {first}; the brackets are removed.",
)  # fmt: skip
ONE_LABEL = Kind(
    "--one-label NAME.", "folders and table", "noted",
    marks.ONE_LABEL + ": {label!r} is on {n} of {of} images; all others are the class {absent!r}, whatever else they show.",
    "--one-label NAME",
)  # fmt: skip
MISSING_PATIENTS = Kind(
    "A patient cell holds one of the words for a missing label.", "table", "noted",
    "{spellings} in the patient column is read as no patient ({n} of {of} rows).",
)  # fmt: skip
RESTARTED_NAMES = Kind(
    "File names have the form of a known set (IM-0001-0002), and most of their keys lie in several folders of a class.",
    "folders and table", "noted",
    "File names have the form of a known set, but their numbers restart in each folder: they were not read as patients. "
    "--patient-pattern finds the patient.",
    "--patient-pattern REGEX",
)  # fmt: skip
BLANK_PATIENTS = Kind(
    "A patient cell is empty, and the DICOM PatientID or the name of the file tells a patient.", "table", "noted",
    "{n} of {of} images have no patient in the table: {tied} have that of the images with the same DICOM PatientID or "
    "the same key in the file name, {taken} go by that key alone, {alone} count as their own patients.",
)  # fmt: skip
EQUAL_PATIENTS = Kind(
    "Patients are spelled differently and equal as numbers: 1 and 1.0.", "table", "noted",
    "Patients spelled in several ways that are equal as numbers (such as 1 and 1.0) count as one patient each: {n}.",
)  # fmt: skip
SAME_FORM_PATIENTS = Kind(
    "Patients are equal but for spaces around them or Unicode form (NFC).", "folders and table", "noted",
    "Patients spelled in several ways that differ only in spaces around them or in Unicode form count as one patient "
    "each: {n}.",
)  # fmt: skip
ALIKE_PATIENTS = Kind(
    "Patients are equal but for leading zeros or case: 007 and 7, p1 and P1.", "folders and table", "noted",
    "Patients that differ only in leading zeros or case (such as 007 and 7) are kept apart: {n}. "
    "If they are one person, write them the same way.",
)  # fmt: skip

KINDS = (
    NEARLY_EQUAL, SAME_READING, SPACES, MISSING, DROPPED, EQUAL_NUMBERS, MANY_NUMBERS, QUANTITY, SEVERAL, LISTS_OF_ONE, ONE_LABEL,
    MISSING_PATIENTS, RESTARTED_NAMES, BLANK_PATIENTS, EQUAL_PATIENTS,
    SAME_FORM_PATIENTS, ALIKE_PATIENTS,
)  # fmt: skip
