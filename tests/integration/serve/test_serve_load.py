"""Many at once and very slowly: every image gets its own scores or a 503."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, ask, drawn_png, encoded, form, post

from plainfilm.export.scorer import open_bundle
from plainfilm.serve.limits import Limits
from plainfilm.serve.predictor import Predictor
from plainfilm.serve.run import listening
from plainfilm.serve.server import Service, build_app, make_server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("uploads", [50, pytest.param(200, marks=pytest.mark.campaign)])
def test_uploads_at_once_are_scored_or_get_503(bundle: Path, tmp_path: Path, uploads: int):
    """sent = scored + 503; none lost, none swapped; repeated requests are scored in the end."""
    images = [drawn_png(100 + i, 160) for i in range(uploads)]
    opened = open_bundle(bundle)
    known = [opened.predict_bytes(image).probs for image in images]
    assert len({tuple(probs.values()) for probs in known}) == uploads  # a swapped response would be noticed
    server = Served(bundle, tmp_path / "server", "--queue", "8")
    alone = max(took_alone(server.port, image) for image in images[:10])
    before = server.peak_mb()
    gate, took = threading.Barrier(uploads), {}
    first: Counter[int] = Counter()

    def send(i: int) -> dict[str, float]:
        gate.wait()
        for tries in range(600):
            began = time.perf_counter()
            response = post(server.port, [images[i]])
            if not tries:
                first[response.status] += 1
            if response.status == 200:
                took[i] = time.perf_counter() - began
                return response.json()["results"][0]["probs"]
            assert response.status == 503 and int(response.headers["retry-after"]) >= 1
            time.sleep(0.05)  # sooner than asked: the harder case
        raise AssertionError("never scored")

    with ThreadPoolExecutor(uploads) as pool:
        responses = list(pool.map(send, range(uploads)))
    peak = server.peak_mb()
    assert server.stop() == 0
    assert responses == known
    assert sum(first.values()) == uploads and set(first) <= {200, 503}
    p50, p99 = np.percentile(list(took.values()), [50, 99])
    print(
        f"\n{uploads} at once, queue 8: first try {dict(first)}; accepted p50 {p50:.3f} s, p99 {p99:.3f} s; RSS {before:.0f} -> {peak:.0f} MB"
    )
    assert p99 <= 2.0 + 10 * alone  # the promise, and what a busy machine may add
    assert peak - before < 64 + 0.5 * uploads


def took_alone(port: int, image: bytes) -> float:
    """Seconds of one upload without any other."""
    began = time.perf_counter()
    assert post(port, [image]).status == 200
    return time.perf_counter() - began


LIMITS = Limits(idle=0.5, total=2.0, head=0.5, queue=2, connections=40)


@pytest.fixture(scope="module")
def service(bundle: Path) -> Service:
    return Service(Predictor(open_bundle(bundle), None), LIMITS)


@pytest.fixture(scope="module")
def hurried(service: Service) -> Iterator[int]:
    """The port of a server with short timeouts, in this process."""
    server_socket = listening("127.0.0.1", 0)
    port, up = server_socket.getsockname()[1], threading.Event()
    server = make_server(build_app(service, port=port), service, up.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [server_socket]})
    thread.start()
    assert up.wait(20)
    yield port
    server.should_exit = True
    thread.join(20)
    server_socket.close()
    assert not thread.is_alive()


def until_closed(connection: socket.socket, drip: bytes = b"", pause: float = 0.1) -> tuple[bytes, float]:
    """What came back until the server closed, and how long that took; `drip` is sent again and again."""
    began, heard = time.monotonic(), b""
    connection.settimeout(pause)
    while time.monotonic() - began < 15:
        try:
            if drip:
                connection.sendall(drip)
            data = connection.recv(65536)
            if not data:
                break
            heard += data
        except TimeoutError:
            continue
        except OSError:
            break
    return heard, time.monotonic() - began


def head(port: int, length: int = 10_000) -> bytes:
    kind = form([b""])[1]["Content-Type"]
    return f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("start", "drip", "most"),
    [
        (b"", b"", 2.0),  # says nothing
        (b"GET / HTTP/1.1\r\nX: ", b"x", 2.0),  # lines without end
        (b"POST", b"", 2.0),
    ],
)
def test_a_connection_without_a_request_is_dropped(hurried: int, start: bytes, drip: bytes, most: float):
    with socket.create_connection(("127.0.0.1", hurried)) as connection:
        connection.sendall(start)
        heard, seconds = until_closed(connection, drip)
    assert seconds < most and heard == b""


@pytest.mark.parametrize(("drip", "most"), [(b"", 3.0), (b"-", 6.0)])
def test_a_slow_body_gets_408_and_is_dropped(hurried: int, drip: bytes, most: float):
    with socket.create_connection(("127.0.0.1", hurried)) as connection:
        connection.sendall(head(hurried) + form([b"x"])[0][:60])
        heard, seconds = until_closed(connection, drip)
    assert seconds < most and heard.startswith(b"HTTP/1.1 408")
    assert ask(hurried, "GET", "/healthz").json()["waiting"] == 0


def test_a_slow_body_holds_no_place_in_the_queue(hurried: int):
    """The queue has two places; six bodies that never end leave them free."""
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", hurried)))
            slow.sendall(head(hurried) + b"--cut")
        assert post(hurried, [drawn_png(1)]).status == 200
        assert ask(hurried, "GET", "/healthz").json()["waiting"] == 0


def until(found: Callable[[], bool]) -> bool:
    """Whether `found` became true within the 30 seconds after which a test is hung."""
    end = time.monotonic() + 30
    while not found() and time.monotonic() < end:
        time.sleep(0.02)
    return found()


@contextlib.contextmanager
def never_reading(port: int, request: bytes, clients: int) -> Iterator[None]:
    """Clients with a tiny receive buffer that send a request and read nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
        yield


def seen(port: int, images: int, size_px: int) -> bytes:
    """A whole request whose response has as many images of noise as itself."""
    noise = np.random.default_rng(0).integers(0, 256, (size_px, size_px), dtype=np.uint8)
    body = form([encoded(noise)] * images)[0]
    return head(port, len(body)).replace(b"/predict", b"/predict?show=seen") + body


def test_clients_that_never_read_are_dropped_and_their_bytes_given_back(
    service: Service, hurried: int, monkeypatch: pytest.MonkeyPatch
):
    def large(index: int, image: bytes, show: frozenset[str]) -> dict[str, Any]:
        return {"index": index, "error": "", "seen": "x" * 3_000_000}

    monkeypatch.setattr("plainfilm.serve.predictor.Predictor.predict", lambda self, *given: large(*given))
    with never_reading(hurried, seen(hurried, 1, 8), 3):
        assert until(lambda: service.held.bytes > 5_000_000)  # the responses are counted while they are unsent
        assert ask(hurried, "GET", "/healthz").json()["status"] == "ok"
        assert until(lambda: service.held.bytes == 0)  # dropped, though the clients are still there
    assert len(post(hurried, [drawn_png(1)]).json()["results"][0]["seen"]) == 3_000_000  # one that reads gets it all


def test_work_of_those_who_left_is_dropped_in_the_queue(
    service: Service, hurried: int, monkeypatch: pytest.MonkeyPatch
):
    """The first image is being scored; its sender and one who waits behind it hang up: no other image is begun."""
    begun, go = [], threading.Event()

    def predict(self: Predictor, index: int, image: bytes, show: frozenset[str]) -> dict[str, Any]:
        begun.append(index)
        assert go.wait(30)
        return {"index": index, "error": ""}

    monkeypatch.setattr("plainfilm.serve.predictor.Predictor.predict", predict)
    body = form([b"x"] * 3)[0]
    clients = [socket.create_connection(("127.0.0.1", hurried)) for _ in range(2)]
    for client, waiting in zip(clients, (1, 2), strict=True):
        client.sendall(head(hurried, len(body)) + body)
        assert until(lambda waiting=waiting: service.queue.waiting == waiting)
    assert post(hurried, [b"x"]).status == 503  # full
    for client in clients:
        client.close()
    assert until(lambda: service.queue.waiting == 0)  # before the model is done
    assert service.held.bytes == 0
    go.set()
    assert post(hurried, [b"x"]).status == 200
    assert begun == [0, 0]  # the first of those who left, and ours


def test_quick_images_pass_one_that_takes_long(hurried: int, monkeypatch: pytest.MonkeyPatch):
    """The queue has two places: one for what takes long, which is stuck, one for all others."""
    begun, go, real = threading.Event(), threading.Event(), Predictor.decode

    def decode(self: Predictor, image: bytes, *, quick: bool) -> Any:
        if image != b"slow":
            return real(self, image, quick=quick)
        if quick:
            return None
        begun.set()
        assert go.wait(30)
        return real(self, image, quick=False)

    monkeypatch.setattr("plainfilm.serve.predictor.Predictor.decode", decode)
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(post, hurried, [b"slow", drawn_png(2)])
        assert begun.wait(30)
        assert [post(hurried, [drawn_png(1)]).status for _ in range(3)] == [200] * 3
        refused = post(hurried, [b"slow"])
        assert refused.status == 503 and "take long to read" in refused.json()["error"]
        assert not stuck.done()
        go.set()
        found = stuck.result(30).json()["results"]
    assert [one["index"] for one in found] == [0, 1] and found[0]["error"] and not found[1]["error"]


def half_closed(port: int, request: bytes) -> bytes:
    """What comes back to a client that closes its sending side after `request`, interim responses left out."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return until_closed(client)[0].replace(INTERIM, b"")


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_client_that_closes_its_side_only_gets_its_response(hurried: int):
    body = form([drawn_png(1)])[0]
    whole, get = head(hurried, len(body)) + body, f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{hurried}\r\n\r\n".encode()
    for _ in range(10):
        assert half_closed(hurried, whole).startswith(b"HTTP/1.1 200")
    assert half_closed(hurried, get * 3).count(b'"status":"ok"') == 3
    assert half_closed(hurried, whole + get + get).count(b"HTTP/1.1 200") == 3
    assert half_closed(hurried, whole + get[:20]).count(b"HTTP/1.1 200") == 1
    assert half_closed(hurried, get.replace(b"HTTP/1.1", b"HTTP/1.0")).count(b'"status":"ok"') == 1
    assert (
        half_closed(hurried, head(hurried) + b"--cut")
        == b""
        == half_closed(hurried, b"")
        == half_closed(hurried, b"GET")
    )


def test_a_client_that_closes_its_side_only_waits_as_long_as_others(
    hurried: int, service: Service, monkeypatch: pytest.MonkeyPatch
):
    """Longer than several interim responses; one of HTTP/1.0 gets none."""
    go = threading.Event()

    def predict(self: Predictor, index: int, decoded: Any, show: frozenset[str]) -> dict[str, Any]:
        assert go.wait(30)
        return {"index": index, "error": ""}

    monkeypatch.setattr("plainfilm.serve.predictor.Predictor.predict", predict)
    monkeypatch.setattr("plainfilm.serve.slow_clients._PROBE", 0.1)
    body = form([b"x"])[0]
    request = head(hurried, len(body)) + body
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", hurried))) for _ in range(2)]
        for client, sent in zip(clients, (request, request.replace(b"HTTP/1.1", b"HTTP/1.0")), strict=True):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        assert clients[0].recv(len(INTERIM) * 3, socket.MSG_WAITALL) == INTERIM * 3
        assert service.queue.waiting == 2
        go.set()
        heard = [until_closed(client)[0] for client in clients]
    assert heard[0].replace(INTERIM, b"").startswith(b"HTTP/1.1 200") and heard[1].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("header", [b"Content-Encoding: gzip", b"Content-Type: text/plain"])
def test_a_refused_client_that_hangs_up_is_no_bug(
    hurried: int, service: Service, capfd: pytest.CaptureFixture[str], header: bytes
):
    before = service.counts["turned away"]
    start = head(hurried).replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n")
    if header.startswith(b"Content-Type"):
        start = start.replace(b"multipart/form-data", b"text/html", 1)
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", hurried)) as client:
            client.sendall(start + b"--cut")
    assert until(lambda: service.counts["turned away"] == before + 5)
    assert ask(hurried, "GET", "/healthz").status == 200
    time.sleep(0.2)  # the last one's body is still being dropped
    assert capfd.readouterr().err == ""


def raw(port: int, request: str, body: bytes = b"") -> bytes:
    """What comes back to `request`, whose line ends are written as they are sent; HOST is ours."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            request.replace("HOST", f"{'' if body else 'Connection: close|'}Host: 127.0.0.1:{port}")
            .replace("|", "\r\n")
            .encode()
            + body
        )
        return until_closed(client)[0]


@pytest.mark.parametrize(
    ("request_", "status", "part"),
    [
        ("GET /nothing HTTP/1.1|HOST||", 404, b"There is no such page here."),
        ("GET //card HTTP/1.1|HOST||", 404, b""),
        ("GET /../card HTTP/1.1|HOST||", 404, b""),
        ("GET /%2e%2e/card HTTP/1.1|HOST||", 404, b""),
        ("GET /%ff%fe HTTP/1.1|HOST||", 404, b""),
        ("OPTIONS * HTTP/1.1|HOST||", 404, b""),
        ("OPTIONS /predict HTTP/1.1|HOST||", 405, b"allow: POST"),
        ("HEAD /predict HTTP/1.1|HOST||", 405, b"allow: POST"),
        ("TRACE / HTTP/1.1|HOST||", 405, b"allow: "),
        ("BREW / HTTP/1.1|HOST||", 405, b"allow: "),
        ("CONNECT 127.0.0.1:1 HTTP/1.1|HOST||", 404, b""),
        ("HEAD / HTTP/1.1|HOST||", 200, b"content-length: "),
        ("HEAD /healthz HTTP/1.1|HOST||", 200, b"content-length: "),
        ("GET / HTTP/1.1|HOST|X: " + "x" * 20_000 + "||", 200, b""),
        ("GET / HTTP/1.1|HOST|X: " + "x" * 200_000 + "||", 400, b""),
        ("GET / HTTP/1.1|HOST|Content-Length: 5|Content-Length: 6||hello", 400, b""),
        ("GET / HTTP/1.1|HOST|Content-Length: -5||hello", 400, b""),
        ("GET / HTTP/1.1|HOST|Content-Length: five||hello", 400, b""),
        ("GET / HTTP/1.1|HOST|Transfer-Encoding: gzip||", 400, b""),
        ("GET / HTTP/1.1|HOST|No colon||", 400, b""),
        ("GET / HTTP/1.1|HOST| folded||", 421, b""),  # a line that goes on is a part of Host
        ("GET / HTTP/1.1|HOST|X: a\0b||", 400, b""),
        ("PRI * HTTP/2.0||SM||", 421, b""),
        ("GET /||", 400, b""),
        ("GET / HTTP/1.1|HOST|Upgrade: websocket|Connection: Upgrade|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: AAAA||", 200, b""),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_odd_heads(hurried: int, request_: str, status: int, part: bytes):
    heard = raw(hurried, request_)
    assert heard.startswith(f"HTTP/1.1 {status} ".encode()) and part in heard
    if request_.startswith("HEAD"):
        assert heard.endswith(b"\r\n\r\n")


def test_odd_bodies(hurried: int):
    """Lengths that are wrong, chunks, several requests at once, and a client that asks before it sends."""
    body, kind = form([drawn_png(1)])[0], "Content-Type: multipart/form-data; boundary=cut"
    post_ = f"POST /predict HTTP/1.1|HOST|{kind}|"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:9], body[9:])) + b"0\r\n\r\n"
    good = post_ + f"Content-Length: {len(body)}||"
    heard = raw(hurried, post_ + "Transfer-Encoding: chunked||", chunks)
    assert heard.startswith(b"HTTP/1.1 411 ") and b"with Content-Length" in heard and heard.count(b"HTTP/1.1") == 1
    assert raw(hurried, good, body + b"GET /healthz HTTP/1.1\r\n\r\n").count(b"HTTP/1.1 ") == 2  # without Host: refused
    assert b"HTTP/1.1 400" in raw(hurried, post_ + f"Content-Length: {len(body) - 9}||", body)  # too short
    assert raw(hurried, post_ + f"Content-Length: {len(body) + 9}||", body).startswith(b"HTTP/1.1 408")  # too long
    with socket.create_connection(("127.0.0.1", hurried)) as client:
        client.sendall(
            good.replace("|HOST", "|HOST|Expect: 100-continue")
            .replace("HOST", f"Host: 127.0.0.1:{hurried}")
            .replace("|", "\r\n")
            .encode()
        )
        assert client.recv(len(INTERIM), socket.MSG_WAITALL) == INTERIM
        client.sendall(body)
        assert until_closed(client)[0].startswith(b"HTTP/1.1 200")
    for refused, status in (("Content-Length: 999999999", 413), ("Content-Length: 9|Content-Encoding: br", 415)):
        heard = raw(hurried, post_ + refused + "|Expect: 100-continue||")
        assert heard.startswith(f"HTTP/1.1 {status}".encode())  # it is not asked for a body that nobody wants


def test_idle_connections_cannot_take_all_of_them(hurried: int):
    """Forty are allowed; the one that waited longest makes room for the next."""
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", hurried)))
        assert post(hurried, [drawn_png(1)]).status == 200


def test_odd_requests_leave_the_server_quiet(hurried: int, capfd: pytest.CaptureFixture[str]):
    """Huge heads, endless chunk extensions, pipelining, half-closed sockets, junk behind a request, compressed bodies."""
    chunked = head(hurried).replace(b"Content-Length: 10000", b"Transfer-Encoding: chunked")
    get = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{hurried}\r\n\r\n".encode()
    body = form([drawn_png(1)])[0]
    expecting = head(hurried, len(body)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    gzipped = head(hurried, len(body)).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    for sent, expected in (
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, b"HTTP/1.1 400"),
        (chunked + b"1;" + b"e" * 200_000, b"HTTP/1.1 411"),
        (chunked + b"zz\r\n", b"HTTP/1.1 411"),
        (get * 50, b'"status":"ok"'),
        (head(hurried, len(body)) + body + b"\x00junk" * 100, b'"results"'),
        (expecting, b"HTTP/1.1 100"),
        (gzipped + body, b"HTTP/1.1 415"),
        (head(hurried, 999_999_999), b"HTTP/1.1 413"),
    ):
        with socket.create_connection(("127.0.0.1", hurried)) as client, contextlib.suppress(ConnectionError):
            client.sendall(sent)
            assert expected in until_closed(client)[0]
    with socket.create_connection(("127.0.0.1", hurried)) as half:
        half.sendall(head(hurried) + b"--cut")
        half.shutdown(socket.SHUT_WR)
        assert until_closed(half)[0] == b""
    assert post(hurried, [drawn_png(1)]).status == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("method", "path", "allow"), [("GET", "/predict", "POST"), ("POST", "/healthz", "GET, HEAD")])
def test_another_method_gets_405_and_those_that_are_allowed(hurried: int, method: str, path: str, allow: str):
    response = ask(hurried, method, path)
    assert response.status == 405 and set(response.headers["allow"].split(", ")) == set(allow.split(", "))
    assert ask(hurried, "HEAD", "/").status == 200
