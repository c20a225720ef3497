"""Caveats: what a reader must know to interpret the result; the first screen shows them beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.evaluate.shortcuts.shortcut_warning import raises_banner
from plainfilm.report.formatting import between, many, number
from plainfilm.report.run_data import ReportedRun
from plainfilm.runs.metrics_file import Number
from plainfilm.schemas.documents import DRAWN, IDENTITY
from plainfilm.schemas.marks import CONFOUNDED

_TITLES = {"SHORTCUT": "Shortcut", "LEAKY SPLIT": "Leaky split", "LEAKY WEIGHTS": "Leaky weights", IDENTITY: "Identity recognition", CONFOUNDED: "Class and series are confounded", "VALIDATION ONLY": "Validation only"}  # fmt: skip
_FAILED = {"deletion": "Heat maps do not show what the score depends on", "randomised": "Heat maps do not depend on what was learned"}  # fmt: skip
_UNDECIDED: dict[Literal["not_enough_images", "not_judged"], str] = {
    "not_enough_images": "Not enough images to tell whether these heat maps can be trusted",
    "not_judged": "These heat maps cannot be judged: the score hardly depends on detail",
}
_ONE_SET = "ONE VALID SET"
_PATIENTS = ("No patient key", "no patient key")


@dataclass(frozen=True)
class Caveat:
    """One caveat. `level`: stop (the number may not mean what it seems to), mind, or fact.

    `about_heat`: it is shown at the heat maps; `on_top`: it is shown on the first screen.
    """

    level: Literal["stop", "mind", "fact"]
    title: str
    text: str
    about_heat: bool = False
    on_top: bool = True


def caveats(found: ReportedRun) -> list[Caveat]:
    """All caveats, most severe first."""
    listed = [_seal(found), *_notes(found), *_shortcut(found), *_against_it(found), *_drawn(found), *_heat(found)]
    order = {"stop": 0, "mind": 1, "fact": 2}
    return sorted(listed, key=lambda caveat: (order[caveat.level], caveat.title != DRAWN.capitalize()))


def _seal(found: ReportedRun) -> Caveat:
    own, of_set = len(found.accesses), found.accesses_set
    if found.split == "test":
        others = f" The set was accessed {of_set} times in total by all runs." if of_set > own else ""
        if own == 1:
            level: Literal["mind", "fact"] = "mind" if of_set > own else "fact"
            text = f"This was the only access of this run.{others}"
            return Caveat(level, "Evaluated on the test set once", text)
        text = f"Each access after the first makes the score less of an independent test.{others}"
        return Caveat("mind", f"Evaluated on the test set {own} times", text)
    if found.card.seal is None:
        return Caveat("stop", "No test score", "The data has no test set, so no number on this page is a test score.")
    if own:
        text = (
            f"This run, or the one it was recalibrated from, was evaluated on its test set {many(own, 'time')}, but "
            "metrics.json has no such scores."
        )
        return Caveat("stop", "No test score here", text)
    sealed = "This run was never evaluated on its test set" + (
        f"; other runs accessed it {many(of_set, 'time')}." if of_set else ", which is still sealed."
    )
    text = "All numbers on this page are from images used for training or model selection."
    return Caveat("stop", "No test score", f"{sealed} {text}")


def _notes(found: ReportedRun) -> list[Caveat]:
    """The notes that every output of the run repeats, except SHORTCUT, which _shortcut() reports with its numbers."""
    listed = []
    for note in found.document.notes:
        mark, _, text = note.partition(": ")
        if mark == "SHORTCUT":
            continue
        kind = next((name for name in _TITLES if mark.startswith(name)), None)
        if kind == "VALIDATION ONLY":
            continue  # _seal() reports it
        if kind:
            listed.append(Caveat("stop", _TITLES[kind], text[:1].upper() + text[1:]))
        elif any(words in note for words in _PATIENTS):
            listed.append(Caveat("mind", "Patients unknown", note))
        elif note.startswith(_ONE_SET):
            listed.append(
                Caveat("mind", _ONE_SET.capitalize(), f"The same images are{note.removeprefix(_ONE_SET + ' is')}")
            )
        elif "chosen on the valid images" in note:
            listed.append(Caveat("mind", "Chosen on these images", note))
        elif mark.isupper() and text:
            listed.append(Caveat("mind", _title(mark), text[:1].upper() + text[1:]))
        else:
            listed.append(Caveat("mind", "Note", note))
    return listed


def _drawn(found: ReportedRun) -> list[Caveat]:
    """The caveat of a run on phantoms whose notes do not say so: one of an older version."""
    if any(note.startswith(DRAWN) for note in found.document.notes):
        return []
    texts = [note.partition(": ")[2] for note in drawn_note(found.rows)]
    return [Caveat("mind", DRAWN.capitalize(), text[:1].upper() + text[1:]) for text in texts]


def _shortcut(found: ReportedRun) -> list[Caveat]:
    """The shortcut baseline beside the network, on the same images; no caveat if neither valid nor test shows a shortcut."""
    said = [note.partition(": ")[2] for note in found.document.notes if note.startswith("SHORTCUT")]
    probes = found.document.shortcut_baseline
    if probes is None and not said:
        text = (
            "No shortcut baseline was run, so it is unknown whether these classes can be separated without fine detail."
        )
        return [Caveat("mind", "Shortcuts not tested", text)]
    known = {name: metric for name, metric in (probes.probes if probes else {}).items() if metric.value is not None}
    if not known or not (said or any(map(raises_banner, known.values()))):
        return [Caveat("stop", _TITLES["SHORTCUT"], text[:1].upper() + text[1:]) for text in said]
    return [Caveat("stop", _TITLES["SHORTCUT"], _beside_the_network(found, known, probes.best if probes else None))]


def _beside_the_network(found: ReportedRun, known: dict[str, Number], best: str | None) -> str:
    """The highest probe, which the table of probes marks too; the one that was chosen on valid; and the network."""
    highest, network = found.highest_probe, found.document.metric("auroc")
    top = known[highest]
    chosen = f" (the {best}, best on valid: {number(known[best].value)} {between(known[best])})" if best in known and best != highest else ""  # fmt: skip
    text = (
        f"AUROC {number(top.value)} {between(top)} on these images from the {highest} alone, without fine detail{chosen}; "
        f"the network: {number(network.value)} {between(network)}."
    )
    if network.value is not None and top.value is not None and network.value <= top.value:
        text += " The network is no better than this baseline."
    return text


def _against_it(found: ReportedRun) -> list[Caveat]:
    """The paired difference of the network to the best probe, which two overlapping intervals cannot replace."""
    probes = found.document.shortcut_baseline
    if probes is None or probes.best is None or probes.difference is None:
        return []
    level: Literal["stop", "mind", "fact"] = "fact" if probes.difference.is_better else "stop"
    level = "mind" if probes.difference.p is None else level
    return [Caveat(level, "Against the shortcut baseline", f"{probes.difference.as_text(probes.best)}.")]


def _heat(found: ReportedRun) -> list[Caveat]:
    """What the checks of the heat maps say against them; nothing where both passed or there are no maps."""
    if not found.has_heat:
        return []
    if found.heat is None:
        text = "This run holds no result of their checks. Make it: plainfilm interpret RUN, then plainfilm report RUN."
        return [Caveat("mind", "Not known whether these heat maps can be trusted", text, about_heat=True, on_top=False)]
    failed = [_said(says, _FAILED[check]) for check, says in found.heat.said("failed").items()]
    listed = [Caveat("stop", title, text, about_heat=True) for title, text in failed]
    for verdict, title in _UNDECIDED.items():
        said = [_said(says, title)[1] for says in found.heat.said(verdict).values()]
        listed += [Caveat("mind", title, text, about_heat=True, on_top=False) for text in said]
    return listed


def _title(mark: str) -> str:
    """'No OOD gate' for 'NO OOD GATE'."""
    return mark.capitalize().replace(" ood", " OOD")


def _said(says: str, title: str) -> tuple[str, str]:
    """Title and text of a sentence: its own mark in capitals where it has one, else `title`."""
    mark, _, text = says.partition(": ")
    if not mark.isupper():
        mark, text = title, says
    return _title(mark), text[:1].upper() + text[1:]
