"""Clients that never read or hardly send: others are served meanwhile, and the memory comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from served import Served, ask, drawn_png, encoded, form, post

pytestmark = [pytest.mark.slow, pytest.mark.campaign]


def memory_mb(server: Served) -> float:
    """Memory now (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


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
    """Each sends a byte of its body every 4 s, and comes again when it is dropped."""
    over = threading.Event()

    def attack() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(head(port, 10_000) + b"-")
                while not over.wait(4):
                    client.sendall(b"-")

    threads = [threading.Thread(target=attack) for _ in range(clients)]
    for thread in threads:
        thread.start()
    yield
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


@pytest.mark.parametrize(("attack", "clients"), [(never_reading, 64), (hardly_sending, 32)])
def test_an_attack_leaves_others_served_and_its_memory_comes_back(bundle: Path, tmp_path: Path, attack, clients: int):
    server = Served(bundle, tmp_path / "server")
    served_meanwhile(server.port, 2)
    before = memory_mb(server)
    with attack(server.port, clients):
        took, healthy, statuses = served_meanwhile(server.port, 45)
        during = memory_mb(server)
    for _ in range(20):
        post(server.port, [drawn_png(1)])
    time.sleep(2)  # memory is returned once a second
    after = memory_mb(server)
    p50, p99 = np.percentile(took, [50, 99])
    print(
        f"\n{attack.__name__}: {len(took)} served meanwhile, p50 {p50:.2f} s, p99 {p99:.2f} s, longest {max(took):.2f} s; {dict(statuses)}; /healthz p99 {np.percentile(healthy, 99):.2f} s; "
        f"RSS {before:.0f} MB before, {during:.0f} at the end of the attack, {after:.0f} after, peak {server.peak_mb():.0f}"
    )
    assert server.stop() == 0
    assert statuses[503] <= len(took) // 20  # p99 over requests hides one that is locked out for long
    assert after - before < 60


def test_memory_is_flat_over_ten_thousand_requests(bundle: Path, tmp_path: Path):
    server, image, at = Served(bundle, tmp_path / "server"), drawn_png(1), {}
    for i in range(10_001):
        path = ("/predict", "/predict?show=seen", "/predict?show=nothing", "/healthz", "/")[i % 5]
        if path.startswith("/predict"):
            post(server.port, [image, b"no image"][: 1 + i % 2], path)
        else:
            ask(server.port, "GET", path)
        if i in (1000, 5000, 10_000):
            at[i] = memory_mb(server)
    print(f"\nRSS after so many requests, MB: {at}")
    assert server.stop() == 0
    assert at[10_000] - at[1000] < 10
