"""Turn rows into text: RESULTS.md, one marked section per experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plainfilm.compare.margin import margin_text
from plainfilm.compare.pooled_folds import POOLED
from plainfilm.compare.scored_run import SENSITIVITY_AT
from plainfilm.errors import DataError
from plainfilm.evaluate.finished import SHIFTED
from plainfilm.experiments.aggregate import Costs, ResultsSection, Row
from plainfilm.schemas.compare import MeanSd
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.number_text import estimate_text, p_said, unadjusted_text

_HEAD = f"""# Results

One row per configuration: the mean of its seeds, or its folds together; written by `plainfilm experiments table` from run folders, never by hand.
Text outside the marks of a section is kept when the section is written again. {RESEARCH_ONLY}
"""
_HOW = """- Rows are ranked on {split} by AUROC, then log loss; {chosen} chosen on valid too, so these scores are optimistic.{shifted}
- {spread}
- Discordant pairs: of the pairs of a positive and a negative valid image that the best shortcut probe ranks wrongly, the share that the network ranks correctly; a network that has learned only the shortcut has 0.
- Against the best{sized}: the paired difference of AUROC on the same images with its 95 % limits over patients, and a permutation test over whole patients (p adjusted by Holm for all pairs of these rows){seeds}.{read}"""
_ONE_SEED = ". One seed: it applies to these trained networks alone"
_SEEDS = "; with three seeds or more, the 95 % limits of the mean over seeds (t) must exclude 0 as well"
_OVER_SEEDS = (
    "`±` is the standard deviation over seeds. The brackets are 95 % limits over patients for a single trained network, "
    "averaged over the runs: they do not include the variation between trainings."
)
_OVER_PATIENTS = "The brackets are 95 % limits over patients: they do not include the variation between trainings."
_MEANS = "Shortcut baseline and discordant pairs are means of the folds."
_SHIFTED_IS = " valid-shifted is valid unchanged and under fourteen fixed changes (blur, noise, JPEG, grey curve, ...)."
_TESTED = "No row was chosen on the test set; its scores are in the order of valid."


def _begin(name: str) -> str:
    """The mark that opens a section."""
    return f"<!-- plainfilm experiment {name}: begin -->"


def _end(name: str) -> str:
    """The mark that closes it."""
    return f"<!-- plainfilm experiment {name}: end -->"


def put_section(page: str, name: str, text: str) -> str:
    """`page` with the section's text in place of its old one, or at the end; everything else stays.

    Raises:
        DataError: a mark of the section is missing or there twice.
    """
    whole = f"{_begin(name)}\n{text.strip()}\n{_end(name)}"
    counts = page.count(_begin(name)), page.count(_end(name))
    if counts == (0, 0):
        return (page.rstrip() or _HEAD.rstrip()) + f"\n\n{whole}\n"
    start, stop = page.find(_begin(name)), page.find(_end(name))
    if counts != (1, 1) or stop < start:
        raise DataError(
            f"RESULTS.md has {counts[0]} opening and {counts[1]} closing marks of {name!r}; expected one of each. "
            "Fix them, or remove that section."
        )
    return page[:start] + whole + page[stop + len(_end(name)) :]


def section_text(
    section: ResultsSection, figures: Mapping[str, str], accesses: Sequence[Mapping[str, Any]] = ()
) -> str:
    """One experiment as Markdown that is also readable as plain text.

    `figures`: title -> path relative to the page; `accesses`: the lines of looks.jsonl, those of the whole project.
    """
    about = section.about
    lines = [f"## {section.name}" + (f": {about.title}" if about.title else ""), ""]
    facts = (("Command", f"`{about.command}`" if about.command else ""), ("Hardware", about.hardware),
             ("Time", about.time), ("Expected beforehand", about.expected),
             ("Trained by", f"plainfilm {', '.join(section.versions)}" if section.versions else ""))  # fmt: skip
    listed = [f"- {name}: {text}" for name, text in facts if text] + [f"- NOTE: {note}" for note in section.marks]
    lines += [*listed, ""] if listed else []
    lines += [f"### Scores on {section.split}", "", *_scores(section), "", _how_to_read(section)]
    if section.unfinished:
        lines += [f"- Not finished, and in no row: {', '.join(section.unfinished)}."]
    lines += ["", "### Cost", "", *_cost_table(section.rows), ""]
    threads = sorted({row.costs.threads for row in section.rows if row.costs and row.costs.threads})
    lines += [
        "- Minutes and img/s: mean over the runs, as they shared the machine; minutes include scan, decoding and probes.",
        f"- Latency: one image through the network on the CPU (threads: {'/'.join(map(str, threads)) or '-'}), median, without decoding.",
        "- Memory: peak of the process; `<=` if an earlier run in the same process had needed as much.",
    ]
    if any(row.test for row in section.rows):
        lines += [
            "",
            "### Test set",
            "",
            *_test_table(section.rows),
            "",
            f"- {_TESTED}",
            *_access_lines(section.seals, accesses),
        ]
    for title, path in figures.items():
        lines += ["", f"![{title}]({path})"]
    return "\n".join(lines)


def _how_to_read(section: ResultsSection) -> str:
    """What is said below the scores."""
    several = any(len(row.seeds) > 1 for row in section.rows)
    folds = f" {POOLED} {_MEANS}" if any(row.folds for row in section.rows) else ""
    return _HOW.format(
        split=section.split, shifted=_SHIFTED_IS if section.split == SHIFTED else "",
        chosen="the threshold was" if section.kept_last else "the epoch and the threshold were",
        spread=(_OVER_SEEDS if several else _OVER_PATIENTS) + folds, read=_limits_and_margin(section),
        sized=" of the same number of train images" if section.sized else "", seeds=_SEEDS if several else _ONE_SEED,
    )  # fmt: skip


def _limits_and_margin(section: ResultsSection) -> str:
    """That limits are not adjusted, and what a verdict about the margin is; each with a space before it."""
    most = max((row.difference.comparisons for row in section.rows if row.difference), default=1)
    said = [unadjusted_text(most), margin_text(section.margin) if section.margin else ""]
    return "".join(f" {each}" for each in said if each)


def _access_lines(seals: Iterable[str], accesses: Sequence[Mapping[str, Any]]) -> list[str]:
    """How often the whole project has accessed each test set of a section: every access makes the next one worth less."""
    lines = []
    for seal in sorted(seals):
        same = [str(access.get("what", "?")) for access in accesses if access.get("seal") == seal]
        if same:
            kinds = Counter(same)
            listed = ", ".join(f"{what} ({n})" for what, n in kinds.items())
            lines.append(
                f"- The test set with seal {seal[:8]} was accessed {len(same)} times by {len(kinds)} configurations in total, according to looks.jsonl: {listed}."
            )
    return lines


def _scores(section: ResultsSection) -> list[str]:
    head = ["rank", "configuration", "seeds", "AUROC", "accuracy", "sensitivity at specificity 0.90", "log loss",
            "right in discordant pairs", "AUROC against the best", "images (patients)"]  # fmt: skip
    body = [
        [str(row.rank), row.name, _seeds(row), *(row.metrics[name].as_text() for name in ("auroc", "accuracy", SENSITIVITY_AT, "log_loss")),
         row.discordant.as_text() if row.discordant else "-", _against(row), _count(row.metrics["auroc"])]
        if row.metrics else ["", row.name, "0", row.why, *[""] * 6]
        for row in section.rows
    ]  # fmt: skip
    if section.baseline is not None:
        probe = f"shortcut baseline ({section.baseline_probe})" + (", plain valid" if section.split == SHIFTED else "")
        body.append(["", probe, "", section.baseline.as_text(), *[""] * 5, _count(section.baseline)])
    return _aligned(head, body)


def _seeds(row: Row) -> str:
    return str(len(row.seeds)) + (f" ({row.folds.as_text()})" if row.folds else "")


def _count(found: MeanSd) -> str:
    return f"{found.n}" + (f" ({found.n_patients})" if found.n_patients is not None else "")


def _against(row: Row) -> str:
    if row.best == row.name:
        return "the best" if row.rank == 1 else f"the best of {row.images} images"
    found = row.difference
    if found is None:
        return "not tested: different images"
    p = p_said(found.p_holm, is_floor=found.p_holm_is_floor)
    verdict = p if found.distinguishable else f"not distinguishable from the best row, {p}"
    seeds = f"; over seeds {found.seeds_text()}" if found.seeds_text() else ""
    margin = f"; {found.verdict_text()}" if found.verdict else ""
    return f"{estimate_text(found, '+.3f')}, {verdict}{seeds}{margin}"


def _cost_table(rows: Sequence[Row]) -> list[str]:
    head = [
        "configuration",
        "parameters",
        "size MB",
        "training min",
        "img/s",
        "latency ms",
        "memory MB",
        "test accesses",
        "command",
    ]
    body = [
        [
            row.name,
            *(_cost_cells(row.costs) if row.costs else [row.why, *[""] * 5]),
            str(row.accesses),
            f"`{row.command}`",
        ]
        for row in rows
    ]
    return _aligned(head, body)


def _cost_cells(costs: Costs) -> list[str]:
    peak = "-" if costs.peak_rss_mb is None else f"{'' if costs.peak_exact else '<= '}{costs.peak_rss_mb:.0f}"
    return [f"{costs.parameters:,}", f"{costs.weights_mb:.2f}", _number(costs.minutes, ".1f"), _number(costs.img_per_s, ".0f"),
            _number(costs.latency_ms, ".2f"), peak]  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _test_table(rows: Sequence[Row]) -> list[str]:
    head = [
        "configuration",
        "runs evaluated",
        "accesses",
        "AUROC",
        "accuracy",
        "sensitivity",
        "specificity",
        "AUROC, shortcut baseline",
        "images (patients)",
    ]
    body = [
        [row.name, f"{row.test.n_runs} of {row.runs}", str(row.accesses),
         *(row.test.metrics[name].as_text() for name in ("auroc", "accuracy", "sensitivity", "specificity")),
         row.test.baseline.as_text() if row.test.baseline else "-", _count(row.test.metrics["auroc"])]
        for row in rows if row.test
    ]  # fmt: skip
    return _aligned(head, body)


def _aligned(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns are also aligned as plain text."""
    body = [[cell.replace("|", "\\|") for cell in row] for row in body]
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    rule = ["-" * max(width, 3) for width in widths]
    return ["| " + " | ".join(cell.ljust(max(width, 3)) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in (head, rule, *body)]  # fmt: skip
