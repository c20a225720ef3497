"""What the terminal says of the events of `experiments run`."""

from __future__ import annotations

from typing import Any

from plainfilm.cli.screen import duration


class ExperimentEvents:
    """A handler for each event of a grid; part of `Terminal`, which says the lines."""

    def say(self, text: str, *, whole: bool = False) -> None:
        """Print one line on stderr."""
        raise NotImplementedError

    def _on_plan(self, facts: dict[str, Any]) -> None:
        title = f": {facts['title']}" if facts["title"] else ""
        self.say(f"Experiment {facts['experiment']}{title}")
        counts = {name: facts["standing"].count(name) for name in ("done", "stopped", "busy", "diverged")}
        states = "".join(f", {n} {name}" for name, n in counts.items() if n)
        left = facts["runs"] - counts["done"] - counts["busy"] - counts["diverged"]
        if not left:
            time = "nothing is left to train"
        elif facts["seconds"] is None:
            time = "the time is unknown until the first run is done (--dry-run times a few steps of each)"
        else:
            time = f"{left} to train, about {duration(facts['seconds'])}, estimated from the finished runs"
        jobs = f", {facts['jobs']} at a time" if facts["jobs"] > 1 else ""
        self.say(f"{facts['runs']} runs of {facts['configurations']} configurations{states}{jobs}; {time}")
        for path in facts["half_made"]:
            self.say(
                f"NOTE: {path} stopped before it could be resumed; it is kept, and a new folder next to it is used.",
                whole=True,
            )

    def _on_grid_run(self, facts: dict[str, Any]) -> None:
        self.say(f"--- {facts['number']}/{facts['of']} {facts['name']}{' (resuming)' if facts['resumes'] else ''}")

    def _on_grid_done(self, facts: dict[str, Any]) -> None:
        ahead = f"; about {duration(facts['seconds'])} left" if facts["seconds"] else ""
        self.say(f"{facts['done']}/{facts['of']} done: {facts['name']}{ahead}")

    def _on_grid_failed(self, facts: dict[str, Any]) -> None:
        self.say(f"FAILED: {facts['name']}: {facts['message']}")
