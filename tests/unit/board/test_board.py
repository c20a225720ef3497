"""The pages over HTTP: what they show, what they refuse, and that a run's texts stay text."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.unit.conftest import SaveRun

from plainfilm.board import board
from plainfilm.board import rows as board_rows
from plainfilm.board.board import Board
from plainfilm.board.run import Address, serve_board
from plainfilm.board.verdicts import Verdicts
from plainfilm.errors import UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.pipeline.compare import compare_runs
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.compare import CompareDocument
from plainfilm.serve.limits import Limits
from plainfilm.serve.server import guarded

PORT = 8001
HISTORY = "phase,epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,valid_auroc,lr\n"
HOSTILE = "<img src=x onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    """Names and attributes of all elements, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.elements if tag == "a"]


class Compared:
    """Stands in for compare, and counts."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, roots: Sequence[Path]) -> CompareDocument:
        self.asked.append([root.name for root in roots])
        return compare_runs(roots)


Open = Callable[..., TestClient]


@pytest.fixture
def compared() -> Compared:
    return Compared()


@pytest.fixture
def open_board(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """open_board(root, token=None): a client of its board, which reads again at every request."""
    monkeypatch.setattr(board_rows, "_EVERY", 0.0)
    opened: list[Board] = []

    def client(root: Path, token: str | None = None) -> TestClient:
        served = Board(root, Limits(), Verdicts(compared))
        opened.append(served)
        app = guarded(served.routes(), served.stop, host="127.0.0.1", port=PORT, token=token)
        return TestClient(app, base_url=f"http://127.0.0.1:{PORT}")

    yield client
    for served in opened:
        served.stop()


def write_history(run: RunDir, *auroc: float) -> None:
    rows = "".join(f"0,{i},0.{9 - i},0.5,0.{8 - i},0.5,{value!r},0.001\n" for i, value in enumerate(auroc))
    run.history.write_text(HISTORY + rows)


def settled(client: TestClient, path: str) -> str:
    """The page once nothing is being compared."""
    for _ in range(200):
        page = client.get(path).text
        if "Comparing;" not in page:
            return page
        time.sleep(0.05)
    raise AssertionError("never compared")


def test_the_table_has_a_row_for_each_run_and_guards_on_every_response(save_run: SaveRun, open_board: Open):
    run = save_run("first", looked=True)
    save_run("second", noise=3)
    client = open_board(run.root.parent)
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert response.headers["x-frame-options"] == "DENY" and response.headers["cache-control"] == "no-store"
    text = Tags(response.text).text
    assert "2 runs in" in text and text.count("[") == 3  # two valid AUROCs and one of test, with limits
    assert client.get("/static/board.js").status_code == client.get("/static/serve.css").status_code == 200


def test_every_link_works_and_none_leads_out(save_run: SaveRun, open_board: Open):
    run = save_run("a b&c=d#e", looked=True)
    save_run("x%2fy+z", noise=3)
    client = open_board(run.root.parent)
    found = set(Tags(client.get("/").text).links())
    assert len([link for link in found if "run=" in link]) == 4 and any("sort=valid" in link for link in found)
    for link in found:
        assert not link.startswith(("http", "//", "/")) and client.get("/" + link.removeprefix("./")).status_code == 200
    chosen = next(link for link in found if link.startswith("./?run=a"))
    assert "<b>" not in chosen and 'class="on"' in client.get("/" + chosen.removeprefix("./")).text


def test_a_link_sorts_and_again_turns_round(save_run: SaveRun, open_board: Open):
    root = save_run("low", skill=0.1).root.parent
    save_run("high", skill=3.0)

    def names(path: str) -> list[str]:
        return re.findall(r'<a href="run\?run=(\w+)"', client.get(path).text)

    client = open_board(root)
    assert names("/?sort=valid") == ["high", "low"] and names("/?sort=valid&reverse=1") == ["low", "high"]
    assert names("/?sort=<x>") == ["high", "low"]
    assert "./?sort=valid&amp;reverse=1" in client.get("/?sort=valid").text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1", "127.0.0.1:80", "0.0.0.0:8001", ""])
def test_a_foreign_host_is_refused(save_run: SaveRun, open_board: Open, host: str):
    client = open_board(save_run("first", status="failed").root.parent)
    for path in ("/", "/report?run=first", "/static/board.js"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 421 and "first" not in response.text


def test_pages_of_others_and_other_methods_are_refused(save_run: SaveRun, open_board: Open):
    client = open_board(save_run("first", status="failed").root.parent)
    assert client.get("/", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, "/").status_code == 405


def test_a_token_is_required_where_one_is_given(save_run: SaveRun, open_board: Open):
    client = open_board(save_run("first", status="failed").root.parent, token="a" * 16)
    assert client.get("/").status_code == client.get("/report?run=first").status_code == 401
    assert client.get("/", auth=("any", "a" * 16)).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org"])  # noqa: S104
def test_a_board_is_for_this_machine_only(tmp_path: Path, refusal: Callable, host: str):
    def serve() -> None:
        serve_board(tmp_path, Address(host, 0, token="a" * 16), say=print, result=print)

    assert "this machine only" in refusal(serve, UsageError)


@pytest.mark.parametrize(
    "name",
    ["../secret", "first/../../secret", "/etc", "%2e%2e/secret", "..\\secret", "linked", "", "first/bundle", "first\0"],
)
def test_only_what_is_listed_can_be_asked_for(save_run: SaveRun, open_board: Open, tmp_path: Path, name: str):
    run = save_run("first", status="failed")
    secret = save_run("secret", status="failed", root=tmp_path)
    for each in (run, secret):
        each.report.write_text("<p>a report</p>")
    (run.root.parent / "linked").symlink_to(secret.root)
    client = open_board(run.root.parent)
    for page in ("/run", "/report"):
        assert client.get(page, params={"run": name}).status_code == 404
    assert client.get("/report", params={"run": "first"}).text == "<p>a report</p>"
    assert "linked" not in client.get("/", params={"run": name}).text.replace("Linked", "")


def test_a_report_that_is_a_link_is_not_served(save_run: SaveRun, open_board: Open, tmp_path: Path):
    run = save_run("first", status="failed")
    (tmp_path / "outside.html").write_text("outside")
    run.report.symlink_to(tmp_path / "outside.html")
    client = open_board(run.root.parent)
    assert client.get("/report?run=first").status_code == 404
    assert "report?run" not in client.get("/?run=first").text


def test_a_report_runs_only_the_scripts_that_its_own_policy_names(save_run: SaveRun, open_board: Open):
    run = save_run("first", status="failed")
    client = open_board(run.root.parent)
    run.report.write_text("<html><script>alert(1)</script>" + "x" * 200_000)
    response = client.get("/report?run=first")
    policy = response.headers["content-security-policy"]
    assert response.text == run.report.read_text() and policy.startswith("sandbox; default-src 'none'")
    assert "script-src 'none'" in policy and "connect-src" not in policy and "frame-ancestors 'none'" in policy
    sha = "'sha256-" + "A" * 43 + "='"
    run.report.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="script-src {sha} \'unsafe-eval\' http://x">'
    )
    policy = client.get("/report?run=first").headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;") and f"script-src {sha};" in policy
    assert "unsafe-eval" not in policy and "http:" not in policy and "allow-same-origin" not in policy


def test_curves_of_chosen_runs_lie_over_each_other(save_run: SaveRun, open_board: Open):
    one, two = save_run("one", status="running"), save_run("two", status="failed")
    write_history(one, 0.5, 0.7, float("nan"), 0.9)
    write_history(two, 0.6)
    page = open_board(one.root.parent).get("/?run=one&run=two").text
    tags = Tags(page)
    assert [attrs["aria-label"] for tag, attrs in tags.elements if tag == "svg" and "role" in attrs] == [
        "Valid AUROC: one 0.900 after 4; two 0.600 after 1", "Valid loss: one 0.500 after 4; two 0.800 after 1",
        "Train loss: one 0.600 after 4; two 0.900 after 1",
    ]  # fmt: skip
    lines = [attrs["points"].split() for tag, attrs in tags.elements if tag == "polyline"]  # type: ignore[union-attr]
    assert [len(line) for line in lines] == [2, 1, 1, 4, 1, 4, 1]  # the gap where an epoch has no value
    assert 'data-every="30"' in page and "http-equiv" not in page


def test_a_page_with_a_living_run_reloads_soon_also_without_script(save_run: SaveRun, open_board: Open):
    run = save_run("going", status="running")
    write_history(run, 0.5)
    client = open_board(run.root.parent)
    with run.lock():
        page = client.get("/?run=going").text
        assert 'data-every="3"' in page and '<noscript><meta http-equiv="refresh" content="10">' in page
        write_history(run, 0.5, 0.75)
        assert "going 0.750 after 2" in client.get("/?run=going").text
    assert "interrupted" in client.get("/").text


def test_configs_side_by_side_name_what_differs_first(save_run: SaveRun, open_board: Open):
    root = save_run("one", status="failed", options={"train.lr": 0.01}).root.parent
    save_run("two", status="failed", options={"train.lr": 0.02})
    page = open_board(root).get("/?run=two&run=one").text
    differ = page[page.index("Differs") : page.index("are the same in all")]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', differ)
    assert ("train.lr", "0.02", "0.01") in rows and all(key.startswith("train.") for key, *_ in rows)


def test_verdicts_are_those_of_compare_and_no_access(save_run: SaveRun, open_board: Open, compared: Compared):
    one = save_run("one", looked=True, skill=3.0)
    two = save_run("two", looked=True, skill=0.5, options={"train.lr": 0.02}, noise=5)
    ledgers = [run.ledger.read_bytes() for run in (one, two)]
    client = open_board(one.root.parent)
    text = Tags(settled(client, "/?run=one&run=two")).text
    right = compare_runs([one.root, two.root])
    difference = right.rows[1].differences["auroc"]
    assert f"{difference.value:+.4f}" in text and difference.against_best() in text and right.split == "valid"
    settled(client, "/?run=two&run=one")
    assert compared.asked == [["one", "two"]]  # kept, whichever way they were chosen
    assert [run.ledger.read_bytes() for run in (one, two)] == ledgers
    two.metrics.write_text(two.metrics.read_text() + " ")
    settled(client, "/?run=one&run=two")
    assert len(compared.asked) == 2


def test_what_cannot_be_compared_says_why(save_run: SaveRun, open_board: Open):
    root = save_run("one").root.parent
    save_run("one-again", seed=1)
    save_run("stopped", status="failed")
    client = open_board(root)
    assert "differ only in their seed" in settled(client, "/?run=one&run=one-again")
    assert "Finished runs are compared" in client.get("/?run=one&run=stopped").text
    assert "Compared on valid" not in client.get("/?run=one").text


def test_texts_of_a_run_stay_text(save_run: SaveRun, open_board: Open):
    run = save_run(HOSTILE.replace("/", ""), status=f"<script>{HOSTILE}")
    run.config.write_text(
        f"model: {{name: '<script>alert(1)</script>'}}\ndata: {{path: '</td><script>', split: \"{html.escape(HOSTILE)}\"}}\n"
    )
    run.label_errors.write_text('path,label,score,why\n"</li><script>x",<b>,0.1,<iframe>\n')
    write_history(run, 0.5)
    client = open_board(run.root.parent)
    for path in ("/", "/run"):
        response = client.get(path, params={"run": run.root.name})
        assert response.status_code == 200
        tags = Tags(response.text)
        found = [tag for tag, _ in tags.elements if tag in ("script", "iframe", "img", "b")]
        assert found == (["script"] if path == "/" else ["b"])  # our own script; the label of a likely label error
        assert not any(name.startswith("on") for _, attrs in tags.elements for name in attrs)
        assert HOSTILE[:20] in tags.text
    assert "<script>x" in Tags(client.get("/run", params={"run": run.root.name}).text).text


def test_names_alike_in_two_hundred_characters_have_ids_of_their_own(save_run: SaveRun, open_board: Open):
    root = save_run("n" * 210 + "1", status="failed").root.parent
    save_run("n" * 210 + "2", status="failed")
    ids = [attrs["id"] for _, attrs in Tags(open_board(root).get("/").text).elements if "id" in attrs]
    assert len(ids) == len(set(ids)) and {"pick-1", "pick-2"} <= set(ids)


def test_a_report_is_read_by_the_one_thread_and_waits_for_it(
    save_run: SaveRun, open_board: Open, monkeypatch: pytest.MonkeyPatch
):
    run = save_run("first", status="failed")
    run.report.write_text("<p>a report</p>")
    read, right = [], board._policy
    monkeypatch.setattr(board, "_policy", lambda head: (read.append(threading.current_thread().name), right(head))[1])
    client = open_board(run.root.parent)
    assert client.get("/report?run=first").text == "<p>a report</p>" and read == ["board_0"]
    monkeypatch.setattr(board, "_WAITING", 0)
    assert [client.get(path).status_code for path in ("/", "/run?run=first", "/report?run=first")] == [503] * 3


def test_a_report_that_vanishes_meanwhile_is_none(save_run: SaveRun, open_board: Open, monkeypatch: pytest.MonkeyPatch):
    run = save_run("first", status="failed")
    run.report.write_text("<p>a report</p>")
    monkeypatch.setattr(board, "has_report", lambda row: run.report.unlink() is None)
    assert open_board(run.root.parent).get("/report?run=first").status_code == 404


def test_huge_files_are_not_read(save_run: SaveRun, open_board: Open):
    run, sound = save_run("huge", status="failed"), save_run("sound", status="failed")
    write_history(sound, 0.5)
    for path in (run.history, run.label_errors, run.timing):
        with path.open("wb") as file:
            file.truncate(3_000_000_000)
    with sound.config.open("ab") as file:
        file.truncate(3_000_000_000)
    client = open_board(run.root.parent)
    text = client.get("/?run=huge&run=sound").text
    assert text.count("at most 16,000,000 are read") >= 2 and "sound 0.500 after 1" in text
    assert "at most" in client.get("/run?run=huge").text


def test_likely_label_errors_have_the_images_that_the_run_kept(save_run: SaveRun, open_board: Open):
    run = save_run("first")
    scores = FinishedRun.open(run.root).predictions("valid")
    worst = scores.worst(3)
    np.save(run.top_images("valid"), np.stack([np.full((8, 8), 60 * (i + 1), np.uint8) for i in range(3)]))
    names = FinishedRun.open(run.root).part("valid")["relative"].tolist()
    listed = [names[worst[1]], next(name for i, name in enumerate(names) if i not in worst), names[worst[0]]]
    run.label_errors.write_text("path,label,score,why\n" + "".join(f"{name},NORMAL,0.1,why\n" for name in listed))
    client = open_board(run.root.parent)
    items = re.findall(r"<li>(.*?)</li>", client.get("/run?run=first").text, re.DOTALL)
    sources = [re.search(r'src="data:image/png;base64,([^"]+)"', item) for item in items]
    assert [source is not None for source in sources] == [True, False, True]
    grey = [np.asarray(Image.open(io.BytesIO(base64.b64decode(source[1]))))[0, 0] for source in sources if source]
    assert grey == [120, 60]
    assert all(html.escape(name) in item for name, item in zip(listed, items, strict=True))
    card: dict[str, Any] = json.loads(run.card.read_text())
    run.card.write_text(json.dumps({**card, "recalibration": {"method": "platt"}}))
    assert "data:image" not in client.get("/run?run=first").text  # its scores rank other images


@pytest.mark.parametrize("shape", [(10**12, 3, 3), (1, 8, 9), (0,), (2, 0, 4)])
def test_images_that_their_header_only_claims_are_damage(save_run: SaveRun, open_board: Open, shape: tuple[int, ...]):
    """np.load() allocated 9 TB before it looked how long the file is."""
    run = save_run("first")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    run.top_images("valid").write_bytes(header.getvalue() + bytes(64))
    run.label_errors.write_text("path,label,score,why\na.png,NORMAL,0.1,why\n")
    response = open_board(run.root.parent).get("/run?run=first")
    assert response.status_code == 200 and "is damaged. Make it again" in Tags(response.text).text


def test_a_row_is_read_again_where_a_shared_ledger_or_a_mode_changes(
    save_run: SaveRun, open_board: Open, monkeypatch: pytest.MonkeyPatch
):
    run = save_run("first", looked=True)
    (ledger,) = (run.root.parent / ".looks").glob("*.jsonl")
    read, right = [], board_rows.read_row
    monkeypatch.setattr(board_rows, "read_row", lambda run, name: (read.append(name), right(run, name))[1])
    client = open_board(run.root.parent)
    client.get("/")
    client.get("/")
    assert len(read) == 1
    sound = ledger.read_bytes()
    ledger.write_bytes(b"{}\n")
    assert "with something wrong" in client.get("/").text and len(read) == 2
    ledger.write_bytes(sound)
    assert "with something wrong" not in client.get("/").text and len(read) == 3
    run.config.chmod(0o600 if run.config.stat().st_mode & 0o077 else 0o644)
    client.get("/")
    assert len(read) == 4


def test_three_hundred_runs_are_read_once(save_run: SaveRun, open_board: Open, monkeypatch: pytest.MonkeyPatch):
    run = save_run("run-000", status="failed")
    for i in range(1, 300):
        copy = run.root.with_name(f"run-{i:03d}")
        copy.mkdir()
        for path in (run.status, run.config):
            (copy / path.name).write_bytes(path.read_bytes())
    read, right = [], board_rows.read_row
    monkeypatch.setattr(board_rows, "read_row", lambda run, name: (read.append(name), right(run, name))[1])
    client = open_board(run.root.parent)
    page = client.get("/").text
    assert "300 runs in" in Tags(page).text and page.count("<tr>") == 301 and len(read) == 300
    began = time.process_time()
    client.get("/?run=run-007")
    assert len(read) == 300 and time.process_time() - began < 2
    (run.root.parent / "run-100" / "status.json").write_text('{"status": "done"}')
    assert "done" in client.get("/").text and read[300:] == ["run-100"]


def test_no_more_than_eight_runs_are_shown(save_run: SaveRun, open_board: Open):
    root = save_run("r0", status="failed").root.parent
    for i in range(1, 10):
        save_run(f"r{i}", status="failed")
    page = open_board(root).get("/?" + "&".join(f"run=r{i}" for i in range(10))).text
    assert page.count('class="on"') == 8 and page.count('title="Choose"') == 0 and page.count("Choose no longer") == 16


def test_an_empty_and_a_vanished_folder_say_so(tmp_path: Path, open_board: Open):
    (tmp_path / "runs").mkdir()
    client = open_board(tmp_path / "runs")
    assert "There is no run folder here yet" in client.get("/").text
    (tmp_path / "runs").rmdir()
    response = client.get("/")
    assert response.status_code == 500 and "does not exist" in response.text
