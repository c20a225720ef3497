"""`plainfilm board`: shows a folder of runs as a web page on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plainfilm.board.board import Board
from plainfilm.board.run_list import find_runs
from plainfilm.errors import UsageError
from plainfilm.serve.limits import Limits
from plainfilm.serve.run import listening, shown_host
from plainfilm.serve.security import is_loopback
from plainfilm.serve.server import guarded, make_server
from plainfilm.serve.token import check_token, find_token


@dataclass(frozen=True)
class Address:
    """Where a board listens; `token`, from an option, a file or the environment: required on every path where given."""

    host: str = "127.0.0.1"
    port: int = 8001
    token: str | None = None
    token_file: Path | None = None
    open_browser: bool = False


def serve_board(folder: Path | None, at: Address, *, say: Callable[[str], None], result: Callable[[str], None]) -> None:
    """Serve a board until Ctrl-C.

    Args:
        say: receives messages for people; result: receives the page's address once the server is up.
    Raises:
        DataError: there is no such folder. UsageError: the host is not this machine, or the port is taken.
    """
    if not is_loopback(at.host):
        raise UsageError(
            f"--host {at.host} would let other machines read file names and images; a board is for this machine only. Leave --host out."
        )
    token = find_token(at.token, at.token_file)
    check_token(at.host, token)
    root = Path("runs") if folder is None else folder
    find_runs(root)
    with listening(at.host, at.port) as server_socket:
        board, port = Board(root, Limits()), server_socket.getsockname()[1]
        app = guarded(board.routes(), board.stop, host=at.host, port=port, token=token)
        address = f"http://{shown_host(at.host)}:{port}/"

        def started() -> None:
            say("Showing runs until Ctrl-C; nothing is written.")
            result(address)
            if at.open_browser:
                webbrowser.open(address)

        with contextlib.suppress(KeyboardInterrupt):  # the normal way to stop, not a failure
            make_server(app, board, started).run(sockets=[server_socket])
        board.stop()
        say("Stopped.")
