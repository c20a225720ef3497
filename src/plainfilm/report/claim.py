"""CLAIM 2024: the checklist items that a run can report by itself, and those that only a person can.

Numbers and topics: Tejani et al., Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 Update, Radiology:
Artificial Intelligence 2024;6(4):e240300, doi 10.1148/ryai.240300; topics shortened and rephrased.
"""

from __future__ import annotations

from dataclasses import dataclass

from plainfilm.models.registry import MODELS
from plainfilm.report.formatting import many, number
from plainfilm.report.run_data import ReportedRun
from plainfilm.runs.people_card import FIELDS
from plainfilm.schemas.documents import marks

_TOPICS = {
    1: "Title names the AI technology", 2: "Structured summary", 3: "Background, intended use and role",
    4: "Aims, objectives, hypotheses", 5: "Prospective or retrospective", 6: "Study goal", 7: "Data sources",
    8: "Inclusion and exclusion criteria", 9: "Preprocessing", 10: "Selection of data subsets", 11: "De-identification",
    12: "Missing data", 13: "Image acquisition protocol", 14: "Definition of the reference standard",
    15: "Why this reference standard", 16: "Source of the annotations", 17: "Annotation of the test set",
    18: "Variability within and between annotators", 19: "How data were assigned to partitions",
    20: "Level at which partitions are disjoint", 21: "Intended sample size", 22: "Description of the model",
    23: "Software libraries and packages", 24: "Initialisation of parameters", 25: "Training approach",
    26: "Selection of the final model", 27: "Ensembling", 28: "Metrics", 29: "Uncertainty of the metrics",
    30: "Robustness or sensitivity analysis", 31: "Explainability", 32: "Evaluation on internal data",
    33: "Testing on external data", 34: "Registration", 35: "Patients or examinations included and excluded",
    36: "Demographic and clinical characteristics per partition", 37: "Performance with uncertainty",
    38: "Estimates of performance and their precision", 39: "Failure analysis", 40: "Limitations",
    41: "Implications for practice", 42: "Study protocol or further technical details",
    43: "Availability of software, model and data", 44: "Funding",
}  # fmt: skip
_SPLITS = {
    "patient": "whole patients, assigned at random to train, valid and test with a fixed seed",
    "official": "the given test folder kept; valid drawn from the rest by whole patients",
    "given": "the given train, valid and test kept as they are",
    "kfold": "k folds of whole patients; one fold is the test set, another is for model selection",
    "image": "images assigned at random, regardless of patients",
    "group": "whole series held out for test, and for valid where there were enough; otherwise whole patients",
    "temporal": "whole patients by date: the latest are the test set, those before them valid",
    "file": "a split file given by the user",
}


@dataclass(frozen=True)
class _Item:
    """One item that the run reports, people in card.yaml, or both; the others are listed by number and topic only."""

    number: int
    topic: str
    text: str
    by_people: str = ""


def claim_items(found: ReportedRun) -> tuple[list[_Item], list[tuple[int, str]]]:
    """The items that the run or its people report, and those NOT REPORTED; together all 44."""
    said = {n: text for n, text in (_data(found) | _model(found) | _results(found)).items() if text}
    people = {n: found.people[name] for name, field in FIELDS.items() if name in found.people for n in field.claim}
    filled = [_Item(n, _TOPICS[n], said.get(n, ""), people.get(n, "")) for n in sorted({*said, *people})]
    return filled, [(n, topic) for n, topic in _TOPICS.items() if n not in said and n not in people]


def _data(found: ReportedRun) -> dict[int, str]:
    card, cfg, counts = found.card, found.cfg.data, found.counts
    size = f"{card.decode['size_px']} x {card.decode['size_px']} px ({card.decode.get('resize', 'squish')})"
    grey = "grey" if card.decode.get("channels") == 1 else "colour"
    harmonised = ", low-pass harmonised" if card.decode.get("harmonise") else ""
    people = "" if counts.patients is None else f" of {many(counts.patients, 'patient')}{counts.more_keys()}"
    parts = ", ".join(f"{name} {part.images:,}" for name, part in counts.splits.items())
    level = (
        "patients, and groups of identical images"
        if card.has_patients
        else "groups of identical images; patients are not known"
    )
    disjoint = (
        "NOT disjoint: a patient or a copy of an image is in two partitions." if card.leaky else f"Disjoint by {level}."
    )
    return {
        9: f"Decoded once to {grey} 8-bit images of {size}{harmonised}; scaled to 0..1 and normalised with mean {number(card.mean[0], 2)}, sd {number(card.std[0], 2)}.",
        12: f"Unreadable files are excluded and given a code: {many(counts.quarantined, 'file')}. No value was imputed.",
        19: f"{_people(_SPLITS.get(card.split, card.split), known=card.has_patients).capitalize()}: {parts} images; seed {found.cfg.train.seed}.",
        20: f"{disjoint}{' The initial weights were trained on some of these images or patients.' if 'LEAKY WEIGHTS' in marks(card.notes) else ''}",
        35: f"{many(counts.found, 'file')} found, {counts.used:,} used{people}; {counts.quarantined:,} unreadable, {counts.duplicates:,} duplicates dropped, {counts.ignored:,} ignored by rule.",
        **({10: f"Train reduced to {per_class:,} images of each class, {_people('by whole patients', known=card.has_patients)}."} if (per_class := getattr(cfg, "per_class", None)) else {}),
    }  # fmt: skip


def _people(text: str, *, known: bool) -> str:
    """The text without "whole patients" where no image names its patient."""
    if known or "whole patients" not in text:
        return text
    said = text.replace("by whole patients", "by image").replace("of whole patients", "of images")
    return f"{said.replace('whole patients', 'images')}; no patient key is known"


def _model(found: ReportedRun) -> dict[int, str]:
    card, train = found.card, found.cfg.train
    libraries = found.environment.get("libraries", {})
    named = ", ".join(
        f"{name} {libraries[name]}" for name in ("torch", "fastai", "numpy", "scikit-learn") if name in libraries
    )
    start = card.initial_weights
    weights = (
        f"weights of kind {start.get('kind', 'unknown')}, SHA-256 {str(start.get('sha256', ''))[:12]}"
        if start
        else "at random, with a fixed seed"
    )
    sizes = [phase.size_px for phase in train.phases]
    growing = f" at {', '.join(map(str, sizes))} px" if min(sizes) < max(sizes) else ""
    phases = f" in {len(sizes)} phases{growing}" if len(sizes) > 1 else ""
    epochs = sum(phase.epochs for phase in train.phases)
    bf16 = ", steps in bfloat16 and scores in float32" if card.precision == "bf16" else ""
    return {
        22: f"{MODELS[card.model.name].kind if card.model.name in MODELS else 'Network'} {card.model.name!r} on {card.decode['size_px']} px images; one output for each of {len(card.vocab)} classes, softmax.",
        23: f"plainfilm {card.plainfilm}, {named}.",
        24: f"Initialised {weights}.",
        25: f"{many(epochs, 'epoch')}{phases} of one-cycle training on cross-entropy, batches of {train.batch_size}, augmentation {train.augment!r}{bf16}; every setting is under Reproduce.",
        26: f"Epoch {card.kept_epoch + 1} kept: {card.kept_by}.",
        27: "None: one network.",
    }  # fmt: skip


def _heat(found: ReportedRun) -> str:
    """Whether heat maps were made, and whether they passed their checks."""
    if not found.has_heat:
        return "Heat maps were not made; plainfilm interpret makes and checks them."
    if found.heat is None:
        return "Heat maps of the largest losses. Whether they passed their checks is not known: the run holds no result of them."
    checked = f"Heat maps of the largest losses, checked by deletion and by random weights on {found.heat.checked_on}"
    if found.heat.verdict == "failed":
        return f"{checked}: FAILED. {' '.join(found.heat.said('failed').values())}".rstrip()
    if found.heat.verdict == "not_judged":
        return f"{checked}: not judged. {' '.join(found.heat.said('not_judged').values())}".rstrip()
    if found.heat.verdict == "not_enough_images":
        return f"{checked}: not enough images to tell."
    return f"{checked}: both checks passed."


def _results(found: ReportedRun) -> dict[int, str]:
    document, split = found.document, found.split
    external = [part for part in found.documents.values() if part.external]
    sensitivity, specificity = document.metric("sensitivity"), document.metric("specificity")
    changed = found.documents.get("valid-shifted")
    rates = f"Sensitivity {number(sensitivity.value)}, specificity {number(specificity.value)} at the stored threshold; intervals under Metrics."
    return {
        28: f"{len(document.metrics)} metrics, AUROC first; each with its own n.",
        29: "95 % intervals over patients, with the method named beside each." if found.card.has_patients else "95 % intervals over images, likely too narrow: patients are not known.",
        30: f"Valid images under {len(changed.changes) - 1} fixed changes, under Robustness." if changed and changed.changes else "",
        31: _heat(found),
        32: f"On {split} images of the same data set; {'a sealed test set' if split == 'test' else 'not a test set'}.",
        33: f"On {many(len(external), 'external set')}, under Metrics." if external else "",
        37: f"AUROC {number(document.metric('auroc').value)} on {split}; all under Metrics.",
        38: rates if document.positive else "",
        39: "Images of the largest losses, under Errors.",
    }  # fmt: skip
