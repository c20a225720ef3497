"""Clients that never read or hardly send: others are served meanwhile, and the memory comes back."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from served import Served, ask, drawn_png, encoded, form, post, progressive

from plainfilm.serve.limits import MB, Limits

pytestmark = [pytest.mark.slow, pytest.mark.campaign]


def head(port: int, length: int, query: str = "") -> bytes:
    kind = form([b""])[1]["Content-Type"]
    return f"POST /predict{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


@contextlib.contextmanager
def never_reading(port: int, clients: int) -> Iterator[None]:
    """Each sends 64 images of noise, 256 px, asks for them back, and does not read."""
    noise = encoded(np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8))
    body = form([noise] * 64)[0]
    request = head(port, len(body), "?show=seen") + body
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(clients)]

        def send(client: socket.socket) -> None:
            with contextlib.suppress(OSError):
                client.sendall(request)

        threads = [threading.Thread(target=send, args=(client,)) for client in sockets]
        for thread in threads:
            thread.start()
        yield
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def hardly_sending(port: int, clients: int) -> Iterator[None]:
    """Each sends a byte of an image every 4 s, behind the head of its part, and comes again when it is dropped."""
    over, part = threading.Event(), form([b""])[0].removesuffix(b"\r\n--cut--\r\n")

    def attack() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(head(port, 10_000) + part)
                while not over.wait(4):
                    client.sendall(b"-")

    with running(attack, clients, over):
        yield


@contextlib.contextmanager
def sending_expensive(port: int, clients: int) -> Iterator[None]:
    """Each sends an image that costs all the processor time that one may take, and the next one at once."""
    over, bomb = threading.Event(), progressive(240, 7000)

    def attack() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                over.wait(0.2 if post(port, [bomb]).status == 503 else 0)

    with running(attack, clients, over):
        yield


@contextlib.contextmanager
def running(attack: Callable[[], None], clients: int, over: threading.Event) -> Iterator[None]:
    """`attack` in as many threads until the block ends."""
    threads = [threading.Thread(target=attack) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def served_meanwhile(port: int, seconds: float) -> tuple[list[float], list[float], Counter[int]]:
    """How long one image took until it was scored, tries that got 503 included; /healthz; and all statuses."""
    took, healthy, statuses, image = [], [], Counter[int](), drawn_png(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert ask(port, "GET", "/healthz").json()["status"] == "ok"
        healthy.append(time.monotonic() - began)
        began, status = time.monotonic(), 0
        while status != 200 and time.monotonic() < end + 30:
            status = post(port, [image]).status
            statuses[status] += 1
            time.sleep(0.05)
        assert status == 200
        took.append(time.monotonic() - began)
    return took, healthy, statuses


PROMISED = 2.0  # seconds within which 99 of 100 others are served, see docs/how-to/serve.md
ALLOWANCE = 10  # a busy machine may add this many times what 99 of 100 take on it without an attack


@pytest.mark.parametrize(
    ("attack", "clients"), [(never_reading, 64), (hardly_sending, 32), (sending_expensive, 4), (sending_expensive, 12)]
)
def test_an_attack_leaves_others_served_and_its_memory_comes_back(bundle: Path, tmp_path: Path, attack, clients: int):
    server = Served(bundle, tmp_path / "server")
    served_meanwhile(server.port, 1)  # starts the children
    quiet = float(np.percentile(served_meanwhile(server.port, 4)[0], 99))
    before = server.memory_mb()
    with attack(server.port, clients):
        took, healthy, statuses = served_meanwhile(server.port, 45)
        during = server.memory_mb()
    for _ in range(20):
        post(server.port, [drawn_png(1)])
    time.sleep(2)  # memory is returned once a second
    after, peak = server.memory_mb(), server.peak_mb()
    p50, p99 = np.percentile(took, [50, 99])
    allowed = PROMISED + ALLOWANCE * quiet
    print(
        f"\n{attack.__name__}: {len(took)} served meanwhile, p50 {p50:.2f} s, p99 {p99:.2f} s, longest {max(took):.2f} s, p99 without attack {quiet:.2f} s; {dict(statuses)}; /healthz p99 {np.percentile(healthy, 99):.2f} s; "
        f"RSS {before:.0f} MB before, {during:.0f} at the end of the attack, {after:.0f} after, peak {peak:.0f}"
    )
    assert server.stop() == 0
    assert statuses[503] <= len(took) // 20  # p99 over requests hides one that is locked out for long
    assert after - before < 60
    assert p99 <= allowed and np.percentile(healthy, 99) <= allowed
    # images and responses, what each connection may buffer, and one image per lane
    assert peak - before < (Limits().held + 2 * Limits().part) / MB + 0.4 * clients + 32


def test_memory_is_flat_over_ten_thousand_requests(bundle: Path, tmp_path: Path):
    """Scores, extra images, bad images, refusals, pages and clients that leave, one after another: no error, no growth."""
    server, at, statuses = Served(bundle, tmp_path / "server"), {}, Counter[str]()
    images = [drawn_png(i) for i in range(5)]
    for i in range(1, 10_001):
        kind, status = one_of_many(server.port, i, images)
        statuses[f"{kind} {status}"] += 1
        if i in (1000, 5000, 10_000):
            at[i] = server.memory_mb()
    print(f"\nRSS after so many requests, MB: {at}; {dict(statuses)}")
    assert server.stop() == 0
    assert set(statuses) == {
        "scored 200",
        "unreadable 200",
        "seen 200",
        "refused 400",
        "page 200",
        "health 200",
        "left 0",
        "half 200",
    }
    assert len(server.log().splitlines()) == 3  # nothing was reported
    assert at[10_000] - at[1000] < 10 and at[10_000] - at[5000] < 5


def one_of_many(port: int, i: int, images: list[bytes]) -> tuple[str, int]:
    """A request of one of eight kinds, and its status."""
    image, kind = images[i % 5], ("scored", "unreadable", "seen", "refused", "page", "health", "left", "half")[i % 8]
    if kind in ("scored", "unreadable"):
        return kind, post(port, [image, b"no image"][: 1 + (kind == "unreadable")]).status
    if kind in ("seen", "refused"):
        return kind, post(port, [image], f"/predict?show={'seen' if kind == 'seen' else 'nothing'}").status
    if kind in ("page", "health"):
        return kind, ask(port, "GET", "/" if kind == "page" else "/healthz").status
    body = form([image])[0]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head(port, len(body)) + (body[:100] if kind == "left" else body))
        if kind == "left":
            return kind, 0
        client.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: client.recv(65_536), b""))
        return kind, int(heard.rpartition(b"HTTP/1.1 ")[2][:3])
