"""MODEL_CARD.md: what a model is and what it is worth, for people; built from the bundle's card alone.

It begins with the metadata that model hubs read. Headings follow Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from plainfilm.base.listing import LISTED, both_ends, some
from plainfilm.base.sanitize import visible
from plainfilm.evaluate.operating.conformal import holds_for
from plainfilm.export.bundle_card import BundleCard, SplitScores
from plainfilm.runs.people_card import CONTACT, DATA, FIELDS, INTENDED, LICENCES, RISKS, open_fields
from plainfilm.schemas.documents import DRAWN, DataCounts, Metric
from plainfilm.schemas.macro_mean import macro_lines
from plainfilm.schemas.not_judged import (
    ABSTAINED_NOT_JUDGED,
    KINDS_NOT_MEASURED,
    OOD_NOT_JUDGED,
    OTHER_KINDS,
    OUT_OF_DISTRIBUTION,
)  # fmt: skip
from plainfilm.schemas.number_text import THREE, TOP_3, limits_text
from plainfilm.schemas.operating import Recalibration

NOT_REPORTED, BY_PEOPLE = "NOT REPORTED", "(by people)"
_SETS = {
    "valid": "Valid images (the epoch, temperature and threshold were chosen here; these scores are optimistic)",
    "test": "Test images",
}
_SHOWN = ("auroc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "auprc", "brier", "ece")
_NAMES = {name: name.replace("_", " ") for name in _SHOWN}


def model_card(card: BundleCard) -> str:
    """The page; its first lines count the fields that are not reported."""
    sections = [
        _model(card), _people(card, INTENDED), _data(card), *[_scores(name, card.metrics[name]) for name in card.metrics],
        *([_recalibrated(card.recalibration)] if card.recalibration else []), _operating_point(card), _caveats(card), _people(card, RISKS), _licence(card), _people(card, CONTACT),
    ]  # fmt: skip
    body = "\n\n".join("\n".join(lines) for lines in sections)
    title = f"# Model card: score for {_classes(card)}"
    left = len(open_fields(card.people, model_card=True))
    counted = f"{left} fields are {NOT_REPORTED}: only a person can fill them." if left else "Every field is reported."
    counted += f" plainfilm checked nothing of what is marked {BY_PEOPLE}." * bool(card.people)
    drawn = "".join(f"**{_plain(note, 1000)}**\n\n" for note in card.notes if note.startswith(DRAWN))
    return f"{card.front_matter()}\n{title}\n\n**{card.notice}**\n\n{drawn}{counted}\n\n{body}\n"


def _plain(text: str, limit: int = 120) -> str:
    """Foreign text, such as a class name, escaped so that Markdown and HTML show it literally."""
    seen = "".join(f"\\{c}" if c in "\\`*_[]|~$@" else c for c in visible(text[:limit])).replace("://", ":\\/\\/")
    seen = re.sub(r"(www)\.", r"\1\\.", seen, flags=re.IGNORECASE)  # GitHub makes links of both, without a bracket
    seen = seen.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\\{seen}" if seen[:1] in tuple("#+-=.") else seen


def _classes(card: BundleCard) -> str:
    return f"class {_plain(card.positive)}" if card.positive else f"{len(card.vocab)} classes"


def _model(card: BundleCard) -> list[str]:
    made, spec, onnx = card.architecture, card.decode, card.onnx
    start = (card.initial_weights or {}).get("kind", "random weights")
    normal = (
        "each image by its own mean and standard deviation"
        if card.model.standardise
        else f"mean {_list(card.mean)}, standard deviation {_list(card.std)}"
    )
    shift = ", ".join(f"{name} {value:.1e}" for name, value in onnx.differences.items())
    return [
        "## Model", "",
        f"- Network: {_plain(made.name)} ({made.parameters:,} parameters); {_plain(made.source)}",
        f"- Started from: {_plain(str(start))}. Kept: epoch {card.kept_epoch + 1}, {card.kept_by}. Finished {card.trained}",
        *(["- Trained in bf16: the training steps were computed in bfloat16, every score in float32"] if card.precision == "bf16" else []),
        f"- Classes: {_named(card.vocab)}; positive: {_plain(card.positive) if card.positive else 'none, each class against the rest'}",
        f"- Images: {spec['size_px']} x {spec['size_px']} px, {'grey' if spec['channels'] == 1 else 'RGB'}, {spec['resize']}"
        f"{', harmonised' if spec['harmonise'] else ''}; integers above 8 bits: {spec['bits'] or 'none in the data'}",
        f"- Normalised inside the network: {normal}",
        f"- ONNX: opset {onnx.opset}; differs from torch by at most {shift} on {onnx.pictures} {onnx.compared_on}",
        f"- SHA-256 of the weights: {card.weights_sha256}",
        *([f"- Version before, with other texts by people: the one whose MANIFEST.json has SHA-256 {card.parent_sha256}"] if card.parent_sha256 else []),
        f"- Made with: {', '.join(f'{name} {version}' for name, version in card.versions.items())}",
    ]  # fmt: skip


def _data(card: BundleCard) -> list[str]:
    data = card.data
    lines = [
        "## Data", "",
        f"- {data.found:,} files found = {data.used:,} used + {data.quarantined:,} quarantined + {data.duplicates:,} duplicates "
        f"dropped + {data.ignored:,} ignored",
        f"- Divided by: {_plain(card.split)}{' (LEAKY)' if card.leaky else ''}; patients {'known' if card.has_patients else 'unknown: intervals are likely too narrow'}",
        f"- Fingerprint of the images: {card.data_sha256}; with their split: {card.split_sha256}",
        *_people(card, DATA)[2:],
        "", *_counts(data),
    ]  # fmt: skip
    return lines


def _counts(data: DataCounts) -> list[str]:
    """A row for each split with the images of each class; of many classes a second table has some of them as rows."""
    classes = list(data.classes) if len(data.classes) <= LISTED else []
    lines = [f"| split | images | patients |{''.join(f' {_plain(name)} |' for name in classes)}"]
    lines += [f"|---|{'---:|' * (2 + len(classes))}"]
    for name, split in data.splits.items():
        patients = "unknown" if split.patients is None else f"{split.patients:,}{split.more_keys()}"
        counts = "".join(f" {split.classes.get(label, 0):,} |" for label in classes)
        lines.append(f"| {_plain(name)} | {split.images:,} | {patients} |{counts}")
    return lines if classes else [*lines, *_counts_of_many(data)]


def _counts_of_many(data: DataCounts) -> list[str]:
    """The classes with the most and the fewest images."""
    lines = [
        "",
        f"{len(data.classes):,} classes, those with the most and with the fewest images (card.json has all):",
        "",
    ]
    lines += [f"| class | {' | '.join(map(_plain, data.splits))} |", f"|---|{'---:|' * len(data.splits)}"]
    for label in both_ends(sorted(data.classes, key=lambda name: -data.classes[name])):
        counts = (" ..." if label is None else f" {split.classes.get(label, 0):,}" for split in data.splits.values())
        lines.append(f"| {'...' if label is None else _plain(label)} |{' |'.join(counts)} |")
    return lines


def _named(names: Sequence[str], most: int = 20) -> str:
    return some([_plain(name) for name in names], most)


def _scores(name: str, scores: SplitScores) -> list[str]:
    once = "once" if scores.opened == 1 else f"{scores.opened} times"
    others = f", {scores.opened_by_all_runs} times by all runs" if scores.opened_by_all_runs > scores.opened else ""
    lines = [f"## {_SETS.get(name, f'Images from elsewhere ({_plain(name)})')}", ""]
    if name != "valid":
        lines += [f"- Evaluated {once} by this run{others}"]
    lines += _facts(scores)
    lines += [f"- {_plain(line, 600)}" for line in macro_lines(scores.macro, _NAMES)]
    lines += ["", "| metric | value | 95 % interval | images | patients | at 0.5 |", "|---|---:|---|---:|---:|---:|"]
    for metric in _SHOWN:
        if (found := scores.metrics.get(metric)) is not None:
            half = scores.metrics_at_half.get(metric)
            patients = "unknown" if found.n_patients is None else f"{found.n_patients:,}"
            lines.append(
                f"| {metric.replace('_', ' ')} | {_value(found)} | {_between(found)} | {found.n:,} | {patients} | {_value(half)} |"
            )
    return lines


def _facts(scores: SplitScores) -> list[str]:
    lines = []
    if (top := scores.top_3_accuracy) is not None:
        lines.append(f"- {TOP_3}: {_value(top)} {_between(top)}")
    if (row := scores.shortcut_baseline) is not None and row.auroc is not None:
        lines.append(
            f"- Shortcut baseline: AUROC {_value(row.auroc)} {_between(row.auroc)} by {_plain(str(row.best))} alone"
        )
        lines += [f"- {row.difference.as_text(_plain(str(row.best)))}"] if row.difference is not None else []
    if scores.band_kept is not None and scores.band_error is not None:
        lines.append(
            f"- Not abstained: {_value(scores.band_kept)} {_between(scores.band_kept)}; wrong among them: "
            f"{_value(scores.band_error)} {_between(scores.band_error)}"
        )
    else:
        lines.append(f"- {ABSTAINED_NOT_JUDGED}")
    if scores.calibration is not None:
        lines.append(f"- Calibration: {_plain(scores.calibration.says, 400)}")
    marked = scores.gate_marked
    judged = OOD_NOT_JUDGED if marked is None else f"{OUT_OF_DISTRIBUTION}: {_value(marked)} {_between(marked)}"
    lines.append(f"- {judged}")
    return lines


def _operating_point(card: BundleCard) -> list[str]:
    lines = [
        "## Operating point",
        "",
        f"- Temperature: {card.temperature:.4g} (1 = as trained; {card.temperature_rule} on {_plain(_scaled_on(card))})",
        *_bias(card),
    ]
    if card.threshold is None:
        lines.append("- The class with the highest score is predicted.")
    else:
        lines.append(
            f"- Predicted {_plain(str(card.positive))} from a score of {card.threshold:.4f} (rule: {_plain(card.threshold_rule)}, chosen on "
            f"{_plain(card.threshold_chosen_on)})"
        )
        lines += _range(card)
    if card.band is not None:
        lowest = some([f"{_plain(name)} {value:.4f}" for name, value in card.band.lowest.items()], LISTED)
        lines.append(
            f"- A class is possible from a score of: {lowest}; the model abstains unless the predicted class is the only "
            f"possible one. {holds_for(card)}"
        )
    else:
        lines.append(f"- {ABSTAINED_NOT_JUDGED}")
    return [*lines, *_gate(card)]


def _gate(card: BundleCard) -> list[str]:
    """What the gate is, and what it marks, by kind."""
    if card.gate_sha256 is None:
        return [f"- {OOD_NOT_JUDGED}"]
    lines = ["- Out-of-distribution (OOD) gate: marks images that are out of distribution; it changes no score."]
    if (kinds := card.gate_kinds) is None:
        return [*lines, f"- {KINDS_NOT_MEASURED}"]
    lines += ["", f"What the gate marks, {kinds.counted_on}:", "", "| valid images | marked |", "|---|---:|"]
    lines += [f"| {_plain(kind)} | {n} of {kinds.images} |" for kind, n in kinds.marked.items()]
    return [*lines, "", f"{OTHER_KINDS}."]


def _scaled_on(card: BundleCard) -> str:
    about = card.recalibration
    local = about is not None and about.prevalence is None
    return f"{card.temperature_chosen_on}, then on the local images" if local else card.temperature_chosen_on


def _bias(card: BundleCard) -> list[str]:
    if not card.bias:
        return []
    each = some([f"{_plain(name)} {value:+.4f}" for name, value in card.bias.items()], LISTED)
    return [f"- Bias added to logits / temperature, fitted with it: {each}"]


def _recalibrated(about: Recalibration) -> list[str]:
    """How it was made to fit another place, and what that did on local patients that were not fitted."""
    people = "" if about.fitted_patients is None else f"{about.fitted_patients:,} patients, "
    lines = [
        "## Recalibrated for another place", "",
        f"- {about.date}, on {people}{about.fitted_images:,} images; fingerprint of them: {about.fingerprint}",
        f"- Made from the model whose card.json has SHA-256 {about.parent_sha256}; its network is unchanged",
        "- Valid and test scores above say nothing of that place",
        "- Scores are softmax(logits / temperature + bias) of the output `logits` of model.onnx; its `probs` can be those of before",
    ]  # fmt: skip
    if about.prevalence is not None:
        return [
            *lines,
            f"- The threshold alone was set, from unlabelled images: {about.prevalence:g} of them are predicted positive",
        ]
    if about.intercept is not None and about.slope is not None:
        lines.append(f"- The log odds became {about.intercept:+.3f} + {about.slope:.3f} times what they were")
    which = (
        "all of them, each by the half without them"
        if about.cross_fitted
        else "the local patients that were not fitted"
    )
    lines += ["", f"On {which}:", "", "| metric | before | after |", "|---|---|---|"]
    return lines + [
        f"| {name.replace('_', ' ')} | {_value(before)} {_between(before)} | {_value(about.after[name])} {_between(about.after[name])} |"
        for name, before in about.before.items() if name in about.after
    ]  # fmt: skip


def _range(card: BundleCard) -> list[str]:
    found = card.threshold_range
    if found is None:
        return []
    ends = [
        f"{name} {a:.3f} to {b:.3f}"
        for name, (a, b) in (("sensitivity", found.sensitivity), ("specificity", found.specificity))
    ]
    return [
        f"- With other images the threshold would be {found.low:.4f} to {found.high:.4f} (95 %); from one end to the other, on the "
        f"{found.images:,} images that chose it, {' and '.join(ends)}"
    ]


def _caveats(card: BundleCard) -> list[str]:
    lines = [
        "## Caveats", "",
        "- Research use only. A score is a score for a class, never a diagnosis.",
        "- The intervals hold for patients like those of the set, from the same site and machine.",
    ]  # fmt: skip
    if "test" not in card.metrics:
        others, times = card.test_opened_by_all_runs, "once" if card.test_opened_by_all_runs == 1 else "{} times"
        why = "the test set is sealed" if card.seal else "there is no test set"
        if card.seal and others:
            why = f"this run never accessed its test set; other runs did, {times.format(others)}"
        lines.append(f"- No test score: {why}. No number above is from test images.")
    return lines + [f"- {_plain(note, 1000)}" for note in card.notes if not note.startswith(DRAWN)]


def _licence(card: BundleCard) -> list[str]:
    made = card.architecture
    weights = made.weights_licence or "none (trained from scratch)"
    return ["## Licences", "", f"- Network's code: {made.licence}; weights it started from: {_plain(weights)}",
            *_people(card, LICENCES)[2:]]  # fmt: skip


def _people(card: BundleCard, heading: str) -> list[str]:
    """A section of fields that only people can fill."""
    fields = [(name, field.title) for name, field in FIELDS.items() if field.section == heading]
    return [f"## {heading}", "", *[f"- {title}{_written(card.people.get(name))}" for name, title in fields]]


def _written(text: str | None) -> str:
    return f": {NOT_REPORTED}" if text is None else f" {BY_PEOPLE}: {_plain(text, len(text))}"


def _value(metric: Metric | None) -> str:
    return "\u2013" if metric is None or metric.value is None else f"{metric.value:{THREE}}"


def _between(metric: Metric) -> str:
    if metric.value is None:
        return _plain(metric.method)
    return limits_text(metric.ci_low, metric.ci_high) or "no interval"


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
