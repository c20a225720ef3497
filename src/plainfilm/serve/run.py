"""`plainfilm serve`: serves a bundle as a web page until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import numpy as np

from plainfilm.data.image import sandbox
from plainfilm.errors import MissingError, UsageError
from plainfilm.export.scorer import open_bundle
from plainfilm.serve.limits import Limits
from plainfilm.serve.predictor import HeatMap, Predictor
from plainfilm.serve.security import is_loopback
from plainfilm.serve.server import Service, build_app, make_server
from plainfilm.serve.token import check_token

_SEND_BUFFER = 262_144  # bytes that a client who does not read can hold in the system; by default up to 4 MB


def serve_bundle(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    open_browser: bool = False,
    say: Callable[[str], None] = lambda text: None,
    result: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve a bundle until Ctrl-C.

    Args:
        port: 0 takes a free one. token: required on every path; must be given when `host` is not loopback.
        say: receives messages for people; result: receives the page's address once the server is up.
    Raises:
        BundleError: the bundle is damaged. UsageError: the options conflict, or the port is taken.
    """
    check_token(host, token)
    with listening(host, port) as server_socket, sandbox.used("on"):
        bundle = open_bundle(path, threads=1)
        service = Service(Predictor(bundle, _heat_of(path)), limits or Limits())
        port = server_socket.getsockname()[1]
        app = build_app(service, host=host, port=port, token=token)
        address = f"http://{shown_host(host)}:{port}/"

        def started() -> None:
            if not is_loopback(host):
                say(
                    f"NOTE: anyone on the network can reach {host}:{port}. The connection is not encrypted: eavesdroppers see token and images."
                )
            say("Serving until Ctrl-C; nothing is stored.")
            result(address)
            if open_browser:
                webbrowser.open(address)

        server = make_server(app, service, started)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # the normal way to stop, not a failure
                server.run(sockets=[server_socket])
        finally:
            service.stop()
        counts = service.counts
        say(
            f"Stopped. Images scored: {counts['scored']}; not readable: {counts['unreadable']}; "
            f"requests turned away: {counts['turned away']}."
        )


def listening(host: str, port: int) -> socket.socket:
    """A listening socket, opened before anything slow is done.

    Raises:
        UsageError: the port is taken, or the address is not one of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        server_socket = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        raise UsageError(f"--host {host} is not an address of this machine. Try --host 127.0.0.1.") from None
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would share a taken port
            server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        server_socket.bind(address)
        server_socket.listen(512)
    except OSError as error:
        server_socket.close()
        raise UsageError(_unbound(host, port, error)) from None
    return server_socket


def _unbound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use, perhaps by another plainfilm. Choose another: --port {port + 1 if port < 65535 else 8000}, or --port 0 for a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} needs administrator rights. Choose one above 1023, e.g. --port 8000."
    return f"--host {host} is not an address of this machine ({error.strerror}). Try --host 127.0.0.1."


def shown_host(host: str) -> str:
    """`host` as a browser on this machine writes it."""
    bare = host.strip("[]")
    if bare in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1" if bare == "0.0.0.0" else "[::1]"  # noqa: S104
    return f"[{bare}]" if ":" in bare else bare


def _heat_of(path: Path) -> HeatMap | None:
    """The bundle's heat maps where torch is installed; torch is imported for the first one."""
    from plainfilm.export.heatmaps import heat_maps, require_torch

    try:
        require_torch()
    except MissingError:
        return None

    def heat(pixels: np.ndarray) -> np.ndarray:
        return heat_maps(path, pixels)

    return heat
