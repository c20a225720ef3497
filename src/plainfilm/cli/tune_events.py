"""What the terminal says of the events of `tune`."""

from __future__ import annotations

from typing import Any

from plainfilm.cli.render.tune import values_text


class TuneEvents:
    """A handler for each event of a search; part of `Terminal`, which says the lines."""

    def say(self, text: str, *, whole: bool = False) -> None:
        """Print one line on stderr."""
        raise NotImplementedError

    def _on_tune_plan(self, facts: dict[str, Any]) -> None:
        prune = "" if facts["prune"] == "none" else f", pruned by the {facts['prune']}"
        self.say(
            f"Search {facts['study']}: {facts['trials']} trials over {', '.join(facts['space'])} by {facts['sampler']}{prune}"
        )
        if facts["top"]:
            self.say(f"Then the best {facts['top']} and the default again, on {facts['seeds']} fresh seeds")

    def _on_tune_trial(self, facts: dict[str, Any]) -> None:
        default = " (the default)" if facts["number"] == 0 else ""
        again = ", resuming" if facts["resumes"] else ""
        self.say(
            f"--- trial {facts['number']} of 0 to {facts['of'] - 1}{default}{again}: {values_text(facts['params'])}"
        )

    def _on_tune_done(self, facts: dict[str, Any]) -> None:
        select = "-" if facts["select"] is None else f"{facts['select']:.4f}"
        best = "" if facts["best"] is None else f"; best so far {facts['best']:.4f}"
        why = f": {facts['message']}" if facts["message"] else ""
        self.say(f"trial {facts['number']} {facts['status']}{why}: select AUROC {select}{best}")

    def _on_tune_confirm(self, facts: dict[str, Any]) -> None:
        which = "the default" if facts["number"] == 0 else f"trial {facts['number']}"
        self.say(f"--- confirm {facts['done']}/{facts['of']}: {which}, seed {facts['seed']}")

    def _on_tune_unconfirmed(self, facts: dict[str, Any]) -> None:
        which = "the default" if facts["number"] == 0 else f"trial {facts['number']}"
        self.say(f"{which}, seed {facts['seed']}, failed: {facts['message']}")
