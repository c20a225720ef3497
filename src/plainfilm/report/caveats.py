"""What a reader must know before the number is believed; the first screen shows it beside the number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from plainfilm.evaluate.shortcuts.probe_auroc import LIMIT
from plainfilm.report.formatting import between, many, number
from plainfilm.report.run_data import ReportedRun
from plainfilm.runs.metrics_file import Number

_TITLES = {"SHORTCUT": "Shortcut", "LEAKY SPLIT": "Leaky split", "LEAKY WEIGHTS": "Leaky weights", "VALIDATION ONLY": "Validation only"}  # fmt: skip
_PATIENTS = ("No patient key", "no patient key")


@dataclass(frozen=True)
class Caveat:
    """One of them. `level`: stop (the number may mean something else), mind, or fact."""

    level: Literal["stop", "mind", "fact"]
    title: str
    text: str


def caveats(found: ReportedRun) -> list[Caveat]:
    """All of them, the gravest first."""
    listed = [_seal(found), *_notes(found), *_shortcut(found), *_drawn(found)]
    order = {"stop": 0, "mind": 1, "fact": 2}
    return sorted(listed, key=lambda caveat: order[caveat.level])


def _seal(found: ReportedRun) -> Caveat:
    own, of_set = len(found.looks), found.looks_set
    if found.split == "test":
        others = f", {of_set} times by all runs in its folder" if of_set > own else ""
        if own == 1:
            level: Literal["mind", "fact"] = "mind" if of_set > own else "fact"
            return Caveat(level, "Test set opened once", f"This run looked at its sealed test set once{others}.")
        text = f"This run looked at its test set {own} times{others}. Each look after the first makes its score less of a test."
        return Caveat("mind", f"Test set opened {own} times", text)
    if found.card.seal is None:
        return Caveat("stop", "No test score", "The data has no test set, so no number on this page is a test score.")
    if own:
        text = f"The test set was opened {many(own, 'time')}, but its scores are no longer in metrics.json."
        return Caveat("stop", "No test score here", text)
    sealed = f"This run never opened its test set, which other runs in its folder opened {many(of_set, 'time')}."
    text = "Everything on this page is from images that training or choices have seen."
    return Caveat("stop", "No test score", f"{sealed if of_set else 'The test set is still sealed.'} {text}")


def _notes(found: ReportedRun) -> list[Caveat]:
    """The sentences that every output of the run repeats; SHORTCUT has numbers beside it and is made elsewhere."""
    listed = []
    for note in found.answer.notes:
        mark, _, text = note.partition(": ")
        if mark == "SHORTCUT":
            continue
        kind = next((name for name in _TITLES if mark.startswith(name)), None)
        if kind == "VALIDATION ONLY":
            continue  # the seal's caveat says it
        if kind:
            listed.append(Caveat("stop", _TITLES[kind], text[:1].upper() + text[1:]))
        elif any(words in note for words in _PATIENTS):
            listed.append(Caveat("mind", "Patients unknown", note))
        elif "chosen on the valid images" in note:
            listed.append(Caveat("mind", "Chosen on these images", note))
        elif mark.isupper() and text:
            listed.append(Caveat("mind", mark.capitalize(), text[:1].upper() + text[1:]))
        else:
            listed.append(Caveat("mind", "Note", note))
    return listed


def _drawn(found: ReportedRun) -> list[Caveat]:
    """A run without DATA is on phantoms."""
    if found.cfg.data.path is not None:
        return []
    return [
        Caveat(
            "mind",
            "Drawn images",
            "These are drawn phantoms; the numbers say that the machinery works, and nothing about radiographs.",
        )
    ]


def _raises_banner(probe: Number | None) -> bool:
    """Whether the probe surely tells the classes better than LIMIT."""
    return probe is not None and probe.ci_low is not None and probe.ci_low > LIMIT


def _shortcut(found: ReportedRun) -> list[Caveat]:
    """What needs no lung, on these images and beside the network; silent only where neither valid nor test shows any."""
    said = [note.partition(": ")[2] for note in found.answer.notes if note.startswith("SHORTCUT")]
    probes = found.answer.shortcut_baseline
    if probes is None and not said:
        text = "No probe was asked whether these classes can be told apart without looking at a lung."
        return [Caveat("mind", "Shortcuts not looked for", text)]
    best = probes.auroc if probes else None
    if probes is None or best is None or best.value is None or not (said or _raises_banner(best)):
        return [Caveat("stop", _TITLES["SHORTCUT"], text) for text in said]
    network = found.answer.metric("auroc")
    text = (
        f"No lungs needed: the {probes.best} alone, which shows no detail of a lung, reaches AUROC {number(best.value)} "
        f"{between(best)} on these images; the network {number(network.value)} {between(network)}."
    )
    if network.value is not None and network.value <= best.value:
        text += " The network does no better than that."
    return [Caveat("stop", _TITLES["SHORTCUT"], text)]
