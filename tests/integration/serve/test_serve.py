"""`plainfilm serve`: correct scores, nothing stored, nothing leaked, nobody let in who should not be."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Served, ask, drawn_png, form, planted_dicom, post

from medical_claims import shows_research_use_only, text_of
from plainfilm.export.scorer import open_bundle
from wording import lacking

pytestmark = pytest.mark.slow

PAGES = ("/", "/card", "/static/serve.css", "/static/serve.js", "/static/icon.svg", "/examples/0.png", "/healthz")
NAMES = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "\u202egnp.exe", "=cmd|' /C calc'!A0",
    "{{7*7}}", "</li></ol><h1>x", "a\nb", "&lt;b&gt;", "javascript:alert(1)", "]]><svg onload=alert(1)>", "../../etc/passwd",
    "..\\..\\boot.ini", "C:\\secret.dcm", "/etc/shadow", "\\\\host\\share", "nul\x00byte.png", "%2e%2e%2f", "..%252f", "file:///etc/passwd",
]  # fmt: skip
HOSTILE = [NAMES[i % 20] + ("", " MUELLER^HANS", "\u2028x" * 9)[i // 20] for i in range(60)]


def test_scores_are_those_of_predict_in_order(served: Served, bundle: Path):
    images = [drawn_png(1), b"no picture", drawn_png(2), planted_dicom(1)]
    response = post(served.port, images)
    assert response.status == 200 and response.headers["content-type"] == "application/json"
    known = [open_bundle(bundle).predict_bytes(image) for image in images]
    for i, (found, right) in enumerate(zip(response.json()["results"], known, strict=True)):
        assert found == {
            "index": i, "label": right.label, "score": right.score, "probs": right.probs, "flags": list(right.flags), "error": right.error
        }  # fmt: skip
    assert [bool(right.error) for right in known] == [False, True, False, False]
    assert shows_research_use_only(response.json()["notice"])


@pytest.mark.parametrize("path", ["/", "/card"])
def test_the_pages_say_research_use_only_and_claim_no_more(served: Served, path: str):
    assert shows_research_use_only(text_of(ask(served.port, "GET", path).body.decode()))


def test_seen_is_what_the_network_sees(served: Served, bundle: Path):
    found = post(served.port, [drawn_png(3)], "/predict?show=seen").json()["results"][0]
    kind, _, data = found["seen"].partition(",")
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert kind == "data:image/png;base64"
    assert np.array_equal(seen, open_bundle(bundle).pixels(drawn_png(3))[0])
    assert "heat" in found and found["heat"] is None  # it was not asked for
    assert post(served.port, [drawn_png(3)], "/predict?show=all").status == 400


def test_the_heat_map_is_that_of_the_bundle(served: Served, bundle: Path):
    from plainfilm.export.heatmaps import heat_maps

    found = post(served.port, [drawn_png(4)], "/predict?show=heat").json()["results"][0]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["heat"].partition(",")[2]))))
    heat = heat_maps(bundle, open_bundle(bundle).pixels(drawn_png(4)))
    assert drawn.shape == (48, 48, 4)
    if heat.max() > 0:
        assert drawn[..., 3].argmax() == heat.argmax()
    cold = drawn[heat == 0]  # as pale as the report draws it, and one colour
    assert len(np.unique(cold.reshape(-1, 4), axis=0)) <= 1
    assert (drawn[heat > 0][:, 3] >= (cold[:, 3].max() if len(cold) else 0)).all()


def test_every_address_is_sealed_and_refuses_foreign_hosts_and_pages(served: Served):
    here = f"127.0.0.1:{served.port}"
    bad = [
        {"Host": host}
        for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1", f"{here}.evil.example", "")
    ]
    bad += [
        {"Origin": o} for o in ("http://evil.example", "null", f"https://{here}", f"http://localhost:{served.port}")
    ]
    bad += [{"Sec-Fetch-Site": s} for s in ("cross-site", "same-site")]
    for path in (*PAGES, "/predict", "/nothing", "/static/../server.py", "/docs", "/openapi.json", "/%2e%2e/card"):
        for method in ("GET", "POST", "OPTIONS", "PUT"):
            response = ask(served.port, method, path)
            assert response.status == (200 if path in PAGES and method == "GET" else response.status)
            assert response.status < 500
            for name, start in (
                ("content-security-policy", "default-src 'none'"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"), ("x-frame-options", "DENY"),
            ):  # fmt: skip
                assert response.headers[name].startswith(start), (path, name)
            assert "access-control-allow-origin" not in response.headers and "server" not in response.headers
        for headers in bad:
            for method in ("GET", "POST"):
                assert ask(served.port, method, path, headers=headers).status in (403, 421), (path, headers)
    assert ask(served.port, "GET", "/", headers={"Host": f"localhost:{served.port}"}).status == 200


class Addresses(HTMLParser):
    """Every address that a page names, and what would run in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.found += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "srcset", "data-address")
        ]
        self.inline += [name for name in names if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(tag)


@pytest.mark.parametrize("path", ["/", "/card"])
def test_a_page_names_only_its_own_addresses(served: Served, path: str):
    html = ask(served.port, "GET", path).body.decode()
    page = Addresses(html)
    assert page.found and not page.inline
    for address in page.found:
        assert ":" not in address and not address.startswith("/"), address
        if address not in ("./", "card"):
            assert ask(served.port, "GET", f"/{address}").status == 200
    assert "diagnosis" not in ask(served.port, "GET", "/").body.decode().lower()
    assert "score for class" in html.lower() and "Research use only" in html


def test_sixty_hostile_names_stand_nowhere(served: Served):
    before = len(served.log())
    body = b""
    for start in range(0, 60, 20):
        response = post(served.port, [drawn_png(5)] * 20, names=HOSTILE[start : start + 20])
        assert response.status == 200 and len(response.json()["results"]) == 20
        body += response.body
    for word in (b"alert", b"MUELLER", b"passwd", b"secret", b"calc", b"7*7"):
        assert word not in body
    assert served.log()[before:] == ""


def test_planted_dicom_values_are_leaked_nowhere(served: Served):
    films = [planted_dicom(number) for number in range(5)]
    damaged = [film[:cut] for film, cut in zip(films, (200, 900, 1500, 2500, len(films[4]) - 500), strict=True)]
    assert films[0].count(b"CANARY") == 40
    response = post(served.port, films + damaged, "/predict?show=seen")
    results = response.json()["results"]
    assert [bool(found["error"]) for found in results] == [False] * 5 + [True] * 5
    assert b"CANARY" not in response.body and "CANARY" not in served.log()
    pages = b"".join(ask(served.port, "GET", path).body for path in PAGES)
    assert b"CANARY" not in pages


def chunks(mb: int) -> Iterator[bytes]:
    yield form([b""])[0].removesuffix(b"\r\n--cut--\r\n")
    for _ in range(mb):
        yield bytes(1_000_000)


def test_floods_are_cut_off_without_memory(served: Served):
    """No length is believed: 300 MB in chunks (refused), ten thousand parts, a length that lies."""
    before, kind = served.peak_mb(), form([b""])[1]
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # cut off while it was still sending
        assert ask(served.port, "POST", "/predict", chunks(300), {**kind, "Transfer-Encoding": "chunked"}).status == 411
    many = form([b"x"] * 10_000)
    assert ask(served.port, "POST", "/predict", *many).status == 413
    assert ask(served.port, "POST", "/predict", form([b"x" * 32_000_001])[0], kind).status == 413
    assert post(served.port, [drawn_png(6)]).status == 200
    assert served.peak_mb() - before < 130  # an image of 32 MB twice: as it grows, and as bytes
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as short:
        short.sendall(f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Length: 99\r\n".encode())
        short.sendall(b"Content-Type: multipart/form-data; boundary=cut\r\n\r\n--cut")
    assert ask(served.port, "GET", "/healthz").status == 200


def test_a_request_that_is_too_large_gets_the_reason(served: Served):
    """Not a broken connection: what is still on its way is read and dropped."""
    body, kind = form([b"x" * 100_000_000])
    response = ask(served.port, "POST", "/predict", body, kind)
    assert response.status == 413 and "larger than 32 MB" in response.json()["error"]


def test_health_responds_while_the_model_is_busy(served: Served):
    health = ask(served.port, "GET", "/healthz").json()
    assert health["status"] == "ok" and health["waiting"] == 0


def test_nothing_is_stored(served: Served):
    post(served.port, [drawn_png(i) for i in range(9)] + [planted_dicom(3)], "/predict?show=seen,heat")
    left = [path for path in served.left() if "matplotlib" not in path.parts]  # its list of fonts, made for heat maps
    assert left == []


def test_a_log_of_a_whole_life_is_three_lines(bundle: Path, tmp_path: Path):
    server = Served(bundle, tmp_path / "server")
    post(server.port, [drawn_png(1), b"bad"])
    ask(server.port, "POST", "/predict", b"", {})
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    log = server.log().splitlines()
    assert len(log) == 3 and log[0].endswith("not a medical device.")
    assert lacking(log[2], "Stopped", "scored: 1", "not readable: 1", "requests turned away: 1") == []
    assert server.left() == []


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plainfilm", "serve", *words], capture_output=True, text=True, timeout=60
    )


def test_a_taken_port_and_open_doors_are_refused(served: Served, bundle: Path, tmp_path: Path):
    for words, expected in (
        ((str(bundle), "--port", str(served.port)), f"Port {served.port} is in use"),
        ((str(bundle), "--port", "0", "--host", "0.0.0.0"), "needs --token-file FILE"),  # noqa: S104
        ((str(bundle), "--port", "0", "--token", "short"), "expected 16 or more"),
        ((str(bundle), "--port", "0", "--host", "192.0.2.1", "--token", "x" * 20), "is not an address of this machine"),
        ((str(tmp_path / "none"), "--port", "0"), "none"),
    ):
        done = run(*words)
        assert done.returncode == 2 and expected in done.stderr, done.stderr
        assert done.stdout == "" and "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_token_opens_every_address_and_nothing_else_does(bundle: Path, tmp_path: Path):
    token = "a-token-of-twenty-signs"  # noqa: S105
    secret = tmp_path / "secret"
    secret.write_text(token + "\n", encoding="utf-8")
    secret.chmod(0o600)
    server = Served(bundle, tmp_path / "server", "--token-file", str(secret))
    good = {"Authorization": "Basic " + base64.b64encode(f":{token}".encode()).decode()}
    for path in (*PAGES, "/predict", "/nothing"):
        refused = ask(server.port, "GET", path)
        assert refused.status == 401 and refused.headers["www-authenticate"].startswith("Basic")
        assert ask(server.port, "GET", path, headers=good).status == (
            200 if path in PAGES else 405 if path == "/predict" else 404
        )
    body, kind = form([drawn_png(1)])
    assert ask(server.port, "POST", "/predict", body, kind | good).status == 200
    assert server.stop() == 0
    assert token not in server.log()


WITHOUT = """
import importlib.util, sys
heavy = {"torch", "torchvision", "fastai", "timm", "captum", "scipy", "pandas", "sklearn", "matplotlib"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in heavy: raise ImportError(name)
sys.meta_path.insert(0, Refuse())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] in heavy else real(name, package)
from plainfilm.cli import app
app(sys.argv[1:])
"""


def test_it_serves_without_torch_and_says_what_is_missing(bundle: Path, tmp_path: Path):
    server = Served(bundle, tmp_path / "server", program=("-c", WITHOUT))
    found = post(server.port, [drawn_png(1)], "/predict?show=seen,heat").json()["results"][0]
    assert found["score"] == open_bundle(bundle).predict_bytes(drawn_png(1)).score
    assert found["heat"] is None and found["seen"]
    page = ask(server.port, "GET", "/").body.decode()
    assert "Heat maps need torch" in page and 'src="examples/2.png"' in page
    assert "Heat maps need torch" not in ask(server.port, "GET", "/card").body.decode()
    assert server.stop() == 0
