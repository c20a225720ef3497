"""The page in a real browser (Debian's chromium): what people and other sites' pages can do with it."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chromium import BROWSER_MARKS, CHROMIUM
from served import Served, drawn_png, encoded, planted_dicom

from plainfilm.data.synthetic.film import draw_phantom
from plainfilm.export.scorer import open_bundle
from wording import lacking

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs: pip install playwright")
pytestmark = BROWSER_MARKS
HOSTILE = [
    "<img src=x onerror=alert(1)>.png", "\u202egnp.exe", "=cmd|' /C calc'!A0", "' onmouseover='alert(1)", "a\nb.png",
    "<script>alert(1)<\u2215script>", "{{7*7}}.png", "javascript:alert(1)",
]  # fmt: skip


class Visit:
    """A page of a fresh browser profile, with all that it asked for and complained of."""

    def __init__(self, context: Any, address: str) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        context.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.set_default_timeout(20_000)
        self.context, self.page, self.address = context, context.pages[0], address
        self.page.goto(address)

    def put(self, *files: tuple[str, bytes]) -> None:
        """Choose files, and wait until all are scored."""
        self.page.set_input_files(
            "#files", [{"name": n, "mimeType": "application/octet-stream", "buffer": b} for n, b in files]
        )
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is being scored."""
        playwright.expect(self.page.locator(".working")).to_have_count(0, timeout=20_000)

    def results(self) -> list[dict[str, str]]:
        """Name, score and error that stand on the page."""
        return [
            {"name": item.locator(".name").text_content(), "score": _text(item, ".score.main .value"), "error": _text(item, ".flag.stop")}
            for item in self.page.locator("#list > li").all()
        ]  # fmt: skip


def _text(item: Any, selector: str) -> str:
    found = item.locator(selector)
    return found.first.text_content() if found.count() else ""


Open = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """browse(address, **options): a Visit in a profile of its own."""
    with playwright.sync_playwright() as engine:

        @contextmanager
        def browse_one(address: str, **options: Any) -> Iterator[Visit]:
            context = engine.chromium.launch_persistent_context(
                tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, timeout=60_000, chromium_sandbox=False,
                args=["--disable-component-update", "--disable-background-networking"], **options,
            )  # fmt: skip
            try:
                yield Visit(context, address)
            finally:
                context.close()

        yield browse_one


@pytest.fixture
def visit(browse: Open, served: Served) -> Iterator[Visit]:
    """The page; at the end it must have asked nobody else and complained of nothing."""
    with browse(served.address) as found:
        yield found
        assert found.complaints == []
        outside = [url for url in found.asked if not url.startswith((served.address, "data:", "blob:"))]
        assert outside == [] and len(found.asked) > 3


def test_scores_stand_beside_their_names(visit: Visit, bundle: Path):
    films = [(f"film {i}.png", drawn_png(i)) for i in range(4)]
    visit.put(*films, ("notes.txt", b"no picture"), ("scan.dcm", planted_dicom(2)))
    known = [open_bundle(bundle).predict_bytes(film) for _, film in films]
    found = visit.results()
    assert [one["name"] for one in found] == [name for name, _ in films] + ["notes.txt", "scan.dcm"]
    assert [one["score"] for one in found[:4]] == [f"{right.score:.3f}" for right in known]
    assert "E_FORMAT" in found[4]["error"] and found[4]["score"] == "" and found[5]["error"] == ""
    assert visit.page.locator("#status").text_content().startswith("6 images read, 1 without a score")
    assert visit.page.locator("#status").get_attribute("aria-live") == "polite"
    threshold = open_bundle(bundle).card.threshold
    ticks = visit.page.locator(".tick").evaluate_all("all => all.map(one => parseFloat(one.style.left))")
    assert ticks == pytest.approx([100 * threshold] * 5)
    fills = visit.page.locator(".fill").evaluate_all("all => all.map(one => parseFloat(one.style.width))")
    assert fills[:4] == pytest.approx([100 * right.score for right in known], abs=1e-3)
    loaded = "() => [...document.querySelectorAll('.seen')].filter(one => one.naturalWidth === 48).length === 5"
    visit.page.wait_for_function(loaded)  # an image is decoded after the script that set it


def test_hostile_names_are_text(visit: Visit):
    before = visit.page.evaluate(
        "document.querySelectorAll('script, iframe, img[src=\"x\"], h1, [onmouseover]').length"
    )
    visit.put(*[(name, drawn_png(1)) for name in HOSTILE])
    after = visit.page.evaluate("document.querySelectorAll('script, iframe, img[src=\"x\"], h1, [onmouseover]').length")
    assert after == before
    names = [one["name"] for one in visit.results()]
    assert names[0] == HOSTILE[0] and names[1] == "\\u202egnp.exe"  # seen as what it is
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save as CSV").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert len(rows) == 1 + len(HOSTILE) and rows[3][0] == "'" + HOSTILE[2]
    assert not any(cell[:1] in ("=", "+", "-", "@") for row in rows for cell in row)
    visit.page.get_by_role("button", name="Clear").click()
    assert visit.results() == []


def test_files_can_be_dropped(visit: Visit):
    data = list(drawn_png(3))
    bag = visit.page.evaluate_handle(
        "data => { const bag = new DataTransfer(); bag.items.add(new File([new Uint8Array(data)], 'dropped.png')); return bag; }", data
    )  # fmt: skip
    visit.page.dispatch_event("#drop", "drop", {"dataTransfer": bag})
    visit.settled()
    found = visit.results()
    assert [one["name"] for one in found] == ["dropped.png"] and found[0]["score"]


def test_the_keyboard_is_enough(visit: Visit):
    """Tab to an example, Enter scores it; Tab to its heat map, Enter draws it; what has the focus can be seen."""
    page = visit.page
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focus = "const at = document.activeElement; const box = at.closest('.drop') || at; const style = getComputedStyle(box);"
        seen.append(
            page.evaluate(f"() => {{ {focus} return [at.id || at.className || at.tagName, style.outlineStyle]; }}")
        )
    assert [name for name, _ in seen] == ["A", "files", "example", "example"]
    assert [style for _, style in seen] == ["solid"] * 4
    page.keyboard.press("Enter")
    page.locator(".heat-button").wait_for()
    assert visit.results()[0]["name"] == "drawn example 2"
    page.locator(".heat-button").focus()
    page.keyboard.press("Enter")
    page.locator("img.heat:visible").wait_for()
    assert page.locator(".heat-note").is_visible()
    page.keyboard.press("Enter")
    assert page.locator("img.heat:visible").count() == 0
    with page.expect_file_chooser():
        page.locator("#files").focus()
        page.keyboard.press("Enter")


def test_it_fits_a_phone_and_the_card_can_be_read(browse: Open, served: Served):
    with browse(served.address, viewport={"width": 390, "height": 844}) as visit:
        visit.put(
            (
                "a name without any place to break it " + "x" * 200 + ".png",
                encoded(draw_phantom(900, seed=1, patient=1, k=1, opacity=True)),
            )
        )
        for address in ("", "card"):
            if address:
                visit.page.get_by_role("link", name="Model card", exact=True).click()
                visit.page.wait_for_url("**/card")  # its load event: without the style sheet a page is wider
                visit.page.get_by_role("heading", level=1, name="Model card").wait_for()
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390, address
            cut_off = "[...document.querySelectorAll('pre')].filter(pre => pre.scrollWidth > pre.clientWidth).length"
            assert visit.page.evaluate(cut_off) == 0, address
        assert "NOT REPORTED" in visit.page.locator("main").text_content()
        assert visit.complaints == []


def test_the_token_opens_the_page_in_a_browser(browse: Open, bundle: Path, tmp_path: Path):
    token = "a-token-of-twenty-signs"  # noqa: S105
    server = Served(bundle, tmp_path / "server", "--token", token)
    with browse(server.address, http_credentials={"username": "anybody", "password": token}) as visit:
        visit.put(("one.png", drawn_png(1)))
        assert visit.results()[0]["score"]
    assert server.stop() == 0


class OtherSite(BaseHTTPRequestHandler):
    """A page that tries to use the server behind its visitor's back."""

    target = ""

    def do_GET(self) -> None:
        script = (
            f"const t = '{self.target}'; const form = new FormData(); form.append('file', new Blob(['x']), 'x');"
            "const tries = [fetch(t + 'predict', {method: 'POST', mode: 'no-cors', body: form}), fetch(t + 'card'), fetch(t + 'healthz', {mode: 'no-cors'})];"
            "Promise.allSettled(tries).then(() => { document.title = 'done'; });"
        )
        page = f"<title>other</title><img src='{self.target}examples/0.png'><iframe src='{self.target}'></iframe><script>{script}</script>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *words: Any) -> None:
        pass


def test_pages_of_other_sites_get_nothing(browse: Open, bundle: Path, tmp_path: Path):
    server = Served(bundle, tmp_path / "server")
    OtherSite.target = server.address
    other = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        with browse("about:blank") as visit:
            passed: list[str] = []
            visit.context.on("response", lambda one: passed.append(one.url) if one.status < 400 else None)
            visit.page.goto(f"http://127.0.0.1:{other.server_port}/")
            playwright.expect(visit.page).to_have_title("done", timeout=20_000)
            visit.page.wait_for_load_state("networkidle")
            assert visit.page.locator("img").evaluate("one => one.naturalWidth") == 0
        tried = {url.removeprefix(server.address) for url in visit.asked if url.startswith(server.address)}
        assert tried == {"predict", "card", "healthz", "examples/0.png", ""}
        assert not any(url.startswith(server.address) for url in passed)
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
        assert server.stop() == 0
    # the upload was not even read: an image that cannot be one would be counted
    assert lacking(server.log(), "scored: 0", "not readable: 0", "requests turned away: 0") == []
