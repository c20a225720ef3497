"""The board in a real browser (Debian's chromium): by mouse, by keyboard, without script, while a run goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from chromium import BROWSER_MARKS, CHROMIUM
from tests.unit.conftest import SaveRun, save_run  # noqa: F401 - a fixture

from plainfilm.runs.folder import RunDir

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs: pip install playwright")
pytestmark = BROWSER_MARKS
HEAD = "phase,epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,valid_auroc,lr\n"
HOSTILE = "<img src=x onerror=alert(1)>"
Open = Callable[..., AbstractContextManager[Any]]


def write_history(run: RunDir, *auroc: float) -> None:
    rows = (f"0,{i},0.{9 - i},0.5,0.{8 - i},0.5,{value},0.001\n" for i, value in enumerate(auroc))
    run.history.write_text(HEAD + "".join(rows))


@pytest.fixture
def runs(save_run: SaveRun) -> dict[str, RunDir]:  # noqa: F811
    found = {
        "good": save_run("good", skill=3.0),
        "poor": save_run("poor", skill=0.3, options={"train.lr": 0.02}, noise=4),
        "going": save_run("going", status="running"),
        HOSTILE: save_run(HOSTILE, status="failed"),
    }
    for run in found.values():
        write_history(run, 0.5, 0.75)
    found["good"].report.write_text("<title>a report</title><p id=x>kept</p><script>document.title = 'ran'</script>")
    return found


@pytest.fixture
def address(runs: dict[str, RunDir]) -> Iterator[str]:
    """A board in a process of its own; Ctrl-C ends it with 0, and it has written nothing."""
    root = runs["good"].root.parent
    before = sorted(path for path in root.rglob("*"))
    command = [sys.executable, "-m", "plainfilm", "board", str(root), "--port", "0", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().decode().strip()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert [path for path in sorted(root.rglob("*")) if path not in before] in ([], [runs["going"].root / ".lock"])


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Open]:
    """browse(address, **options): a page that must ask nobody else and complain of nothing."""
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, timeout=60_000, chromium_sandbox=False)

        @contextmanager
        def one(address: str, **options: Any) -> Iterator[Any]:
            context, asked, complaints = browser.new_context(**options), [], []
            context.set_default_timeout(30_000)
            context.on("request", lambda request: asked.append(request.url))
            context.on("dialog", lambda dialog: (complaints.append("dialog"), dialog.dismiss()))
            context.on(
                "console",
                lambda line: complaints.append(f"{line.text} {line.location}") if line.type == "error" else None,
            )
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            page = context.new_page()
            page.goto(address)
            yield page
            context.close()
            refused = [text for text in complaints if "Blocked script execution" not in text]  # of the planted report
            assert (
                refused == []
                and [url for url in asked if not url.startswith((address.partition("?")[0], "data:"))] == []
            )

        yield one
        browser.close()


def choose(page: Any, name: str) -> None:
    page.locator("#runs tbody tr", has=page.get_by_role("link", name=name, exact=True)).locator(".pick a").click()


def test_runs_are_chosen_sorted_filtered_and_compared(address: str, browse: Open):
    with browse(address) as page:
        page.evaluate("window.mine = 1")  # gone where a link loads another page
        choose(page, "good")
        choose(page, "poor")  # also before the first one is shown
        playwright.expect(page.locator("tr.on")).to_have_count(2)
        assert page.locator(".plot polyline").count() == 6 and page.url.endswith("?run=good&run=poor")
        playwright.expect(page.locator("#verdict-title ~ .scroll")).to_contain_text("ranked best", timeout=120_000)
        playwright.expect(page.locator("#verdict-title ~ .scroll")).to_contain_text("below the best row")
        playwright.expect(page.locator(".keys").first).to_contain_text("train.lr")
        page.locator("#sort-valid").click()
        playwright.expect(page.locator("#runs th[aria-sort=descending]")).to_have_text("Valid AUROC")
        assert page.locator("#runs tbody th").all_text_contents()[:2] == ["good", "poor"]
        page.locator("#filter").fill("POOR")
        assert page.locator("#runs tbody tr:visible").count() == 1
        page.go_back()
        playwright.expect(page.locator("#runs th[aria-sort=ascending]")).to_have_text("Run")
        assert page.evaluate("window.mine") == 1 and page.locator("img[src=x]").count() == 0


def test_the_keyboard_chooses_and_stays_where_it_was(address: str, browse: Open):
    with browse(address) as page:
        link = page.locator("[id^='pick-']").filter(has_text=re.compile(r"Choose good\s*$"))
        number = link.get_attribute("id")
        link.focus()
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#curves-title")).to_be_visible()
        assert page.evaluate("document.activeElement.id") == number
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#curves-title")).to_have_count(0)


def test_curves_grow_while_a_run_goes_on(address: str, browse: Open, runs: dict[str, RunDir]):
    with runs["going"].lock(), browse(f"{address}?run=going") as page:
        playwright.expect(page.locator("#about")).to_contain_text("Live")
        line = page.locator(".plot polyline").first
        assert len((line.get_attribute("points") or "").split()) == 2
        write_history(runs["going"], 0.5, 0.75, 0.8)
        playwright.expect(line).to_have_attribute("points", re.compile(r"^\S+ \S+ \S+$"), timeout=30_000)


def test_without_script_links_do_it_all_on_a_phone(address: str, browse: Open):
    phone = {"width": 390, "height": 844}
    with browse(address, java_script_enabled=False, viewport=phone) as page:
        choose(page, "good")
        choose(page, "poor")
        assert page.locator(".plot").count() == 3 and not page.locator("#filter").is_visible()
        page.locator("#sort-valid").click()
        assert page.locator("#runs tbody th").first.text_content() == "good"
    with browse(f"{address}?run=good&run=poor", viewport=phone) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert min(box["height"] for box in (one.bounding_box() for one in page.locator(".pick a").all())) >= 32


def test_a_report_is_shown_and_its_script_is_not_run(address: str, browse: Open):
    with browse(f"{address}?run=good") as page:
        page.get_by_role("link", name="report", exact=True).click()
        assert page.locator("#x").text_content() == "kept" and page.title() == "a report"
