"""Who may ask: this machine's own page and curl, and nobody that a browser marks as foreign."""

from __future__ import annotations

import base64

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from plainfilm.serve.security import SecurityMiddleware, is_loopback

HERE = "127.0.0.1:8000"
TOKEN = "a-token-of-twenty-signs"  # noqa: S105


def guard(host: str = "127.0.0.1", token: str | None = None) -> SecurityMiddleware:
    return SecurityMiddleware(PlainTextResponse("in"), host=host, port=8000, token=token)


def status(method: str, headers: list[tuple[str, str]], **options: str) -> int:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    response = guard(**options).refuse(method, Headers(raw=raw))  # type: ignore[arg-type]
    return 200 if response is None else response.status_code


@pytest.mark.parametrize("host", [HERE, "localhost:8000", "[::1]:8000", "LOCALHOST:8000"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_our_own_names_pass(host: str, method: str):
    assert status(method, [("Host", host)]) == 200
    assert status(method, [("Host", host), ("Origin", f"http://{host}"), ("Sec-Fetch-Site", "same-origin")]) == 200


BAD_HOSTS = [
    "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:8001", "127.0.0.1:8000.evil.example", "localhost.evil.example:8000",
    "127.0.0.1:8000@evil.example", "", "127.0.0.2:8000", "[::1]", "192.168.0.7:8000", "0.0.0.0:8000", "localhost:8000 ", "127.0.0.1:08000x",
]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_other_hosts_are_refused(host: str, method: str):
    assert status(method, [("Host", host)]) == 421


def test_no_host_or_two_are_refused():
    assert status("GET", []) == 421
    assert status("GET", [("Host", HERE), ("Host", HERE)]) == 421


@pytest.mark.parametrize(
    "headers",
    [
        [("Origin", "http://evil.example")],
        [("Origin", "null")],
        [("Origin", "http://127.0.0.1:8001")],
        [("Origin", "https://127.0.0.1:8000")],
        [("Origin", "http://localhost:8000")],  # another origin than the one that was asked
        [("Origin", f"http://{HERE}"), ("Origin", "http://evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")],
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_others_are_refused(headers: list[tuple[str, str]], method: str):
    assert status(method, [("Host", HERE), *headers]) == 403


def test_a_link_elsewhere_may_open_the_page_and_may_not_post():
    link = [
        ("Host", HERE),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ]
    assert status("GET", link) == 200
    assert status("POST", link) == 403


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (basic(TOKEN), 200),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("", 401),
        (TOKEN, 401),
        (basic(TOKEN + "x"), 401),
        (basic(TOKEN[:-1]), 401),
        (basic(""), 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(TOKEN.encode()).decode(), 401),
        ("Bearer \xff", 401),
    ],
)
def test_the_token(given: str, expected: int):
    assert status("GET", [("Host", HERE), ("Authorization", given)], token=TOKEN) == expected


def test_beyond_loopback_addresses_pass_and_names_do_not():
    for host, expected in (
        ("192.168.0.7:8000", 200),
        ("[fe80::1]:8000", 200),
        ("localhost:8000", 200),
        ("evil.example:8000", 421),
    ):
        assert status("GET", [("Host", host), ("Authorization", basic(TOKEN))], host="0.0.0.0", token=TOKEN) == expected  # noqa: S104


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True), ("0.0.0.0", False), ("::", False), ("192.168.0.7", False), ("host.example", False)],  # noqa: S104
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, loopback: bool):
    assert is_loopback(host) is loopback
