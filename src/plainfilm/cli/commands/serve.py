"""serve: a bundle's web page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.base.terminal import tell
from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal


@opt.takes_terminal(json="")
def serve(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that export wrote.")],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on. Any other than 127.0.0.1 (this machine only) needs --token."
        ),
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        opt.unless_given(
            "--token",
            "SECRET",
            "Required for every request, 16 characters or more. In a browser, enter any name and SECRET as the password. "
            "curl -u :SECRET. Shows in the process list; --token-file and the variable PLAINFILM_TOKEN do not.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        opt.unless_given("--token-file", "FILE", "Holds SECRET on one line; other users must not have access to it."),
    ] = None,
    max_mb: Annotated[
        int, typer.Option("--max-mb", min=1, max=256, help="Size of the largest image accepted, in MB.")
    ] = 32,
    queue: Annotated[
        int,
        typer.Option(
            "--queue", min=1, max=1000, help="Requests that may wait at a time; others get an error and can retry."
        ),
    ] = 32,
    open_browser: Annotated[bool, typer.Option("--open", help="Also open the page in the browser.")] = False,
    *,
    terminal: Terminal,
) -> None:
    """Show a web page that scores images with a bundle; nothing is stored. Ctrl-C stops it."""
    from plainfilm.serve.limits import Limits
    from plainfilm.serve.run import serve_bundle
    from plainfilm.serve.token import find_token

    with terminal:
        serve_bundle(
            bundle, host=host, port=port, token=find_token(token, token_file), limits=Limits.for_images_of(max_mb, queue), open_browser=open_browser,
            say=terminal.say, result=lambda text: tell(text, terminal.stdout),
        )  # fmt: skip
