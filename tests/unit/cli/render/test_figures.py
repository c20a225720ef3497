from __future__ import annotations

import io

from plainfilm.cli.render.registry import _print_figures
from plainfilm.cli.screen import Screen


def printed(figures: dict[str, str], monkeypatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    file = io.StringIO()
    _print_figures(Screen(set(), file=file), figures)
    return file.getvalue().splitlines()


def test_the_folder_of_the_figures_is_printed_once(monkeypatch):
    figures = {name: f"/a/run/figures/{name}_valid.png" for name in ("confusion", "roc", "reliability", "top_losses")}
    found = printed(figures, monkeypatch)
    assert found[0] == "Figures: /a/run/figures"
    assert " ".join(" ".join(found[1:]).split()) == (
        "confusion_valid.png, roc_valid.png, reliability_valid.png, top_losses_valid.png"
    )
    assert max(map(len, found)) <= 80


def test_figures_in_several_folders_have_their_paths_and_none_is_no_line(monkeypatch):
    assert printed({"a": "/x/a.png", "b": "/y/b.png"}, monkeypatch) == [f"{'a':22} /x/a.png", f"{'b':22} /y/b.png"]
    assert printed({}, monkeypatch) == []
