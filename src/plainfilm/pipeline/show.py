"""`plainfilm show`: the saved numbers of a run; no image is read, nothing is written and no access is made."""

from __future__ import annotations

from pathlib import Path

from plainfilm.base.command_line import command_line
from plainfilm.errors import DataError, SealError, UsageError
from plainfilm.evaluate.document import ExtraBlocks
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.pipeline.saved_document import SavedDocument
from plainfilm.runs.card import has_own_weights, seal_on_card, was_trained_in_bf16
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.run_manifest import verify
from plainfilm.runs.verified_files import adopt_files, unverified_note
from plainfilm.schemas.documents import EvaluateDocument

_BF16 = "Trained in bf16: the training steps were computed in bfloat16, these scores in fp32."


def show_run(root: Path, *, split: str | None = None) -> tuple[EvaluateDocument, list[str]]:
    """The document that `evaluate` saved for a split, and the names of the other saved ones.

    Its notes say what of the run has changed since, or that this is not known, and whether it was trained in bf16.

    Args:
        split: None takes test if the run was evaluated on it, else valid.
    Raises:
        UsageError: nothing is saved for `split`. DataError: nothing that can be read is saved, or a file was edited.
        SealError: the ledger is broken, or no test-set access is recorded.
    """
    run = RunDir.open(root)
    verify(run)
    names = list(saved_splits(run)) if run.metrics.exists() else []
    split = split or ("test" if "test" in names else "valid")
    if split not in names:
        others = f"Saved are: {', '.join(names)}." if names else "Nothing is saved."
        compute = "" if split not in ("valid", "valid-shifted") else f" Compute them: {_evaluate(run, split)}"
        raise UsageError(f"The run {run.root} has no saved numbers of {split!r}. {others}{compute}")
    saved = SavedDocument.read(run, split)
    if saved is None:
        raise DataError(_unreadable(run, split))
    refuse_other_numbers(run, [saved.document])
    document = saved.counted(run, seal_on_card(run))
    if split == "test" and not document.opened:
        raise SealError(
            f"metrics.json of {run.root} has test scores, but no test-set access is recorded. "
            "Restore test_ledger.jsonl and status.json from a backup."
        )
    changed = saved.changed(run, ExtraBlocks()) if saved.document.inputs else _missing(run)
    doubts = saved.doubts([*changed, *([] if has_own_weights(run) else [run.weights.name])])
    bf16 = [_BF16] if was_trained_in_bf16(run) else []
    document = document.model_copy(update={"notes": [*document.notes, *unverified_note(run), *bf16, *doubts]})
    return document, [name for name in names if name != split]


def adopt_run(root: Path, *, split: str | None = None) -> str:
    """`plainfilm show --adopt`: write the manifest of a run that has none; what was done, as a sentence.

    Raises:
        UsageError, DataError, SealError: as show_run(); or it has a manifest that its files do not match, or had one, or
            card, weights, config, table or the numbers of any split cannot be used. Nothing is written then.
    """
    run = RunDir.open(root)

    def check() -> None:
        show_run(root, split=split)
        FinishedRun.open(run)
        splits = saved_splits(run)
        found = [saved.document for name in splits if (saved := SavedDocument.read(run, name))]
        if damaged := sorted(splits.keys() - {document.split for document in found}):
            raise DataError(_unreadable(run, damaged[0]))
        refuse_other_numbers(run, found)

    if not adopt_files(run, check):
        return f"{run.root.name} has a run_manifest.json, and its files match it; nothing was written."
    return f"run_manifest.json was written: the files of {run.root.name} count as they are now, right or wrong."


def _missing(run: RunDir) -> list[str]:
    """The files without which nothing can be computed again."""
    return [path.name for path in (run.card, run.config, run.table) if not path.is_file()]


def _unreadable(run: RunDir, split: str) -> str:
    what = f"The saved numbers of {split} in metrics.json of {run.root} are damaged or from another version."
    return f"{what} Compute them again: {_evaluate(run, split)}"


def _evaluate(run: RunDir, split: str) -> str:
    return command_line("evaluate", run.root, *(() if split == "valid" else ("--split", split)))
