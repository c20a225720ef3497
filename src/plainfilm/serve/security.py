"""Who may send requests: one check before every path, and security headers on every response.

A page of another site can make a browser send requests to this machine. That site's name is then in Host (DNS
rebinding), or in Origin and Sec-Fetch-Site, which scripts cannot change.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="plainfilm: any name, the token as password", charset="UTF-8"'}
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class SecurityMiddleware:
    """Wraps an app: refuses foreign hosts, foreign pages and wrong tokens, and adds security headers to every response.

    Args:
        host, port: where the server listens. Beyond loopback, Host may be any IP address but no name other than this
            machine's own: an attacker's page has a name.
        token: required on every path when given.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, token: str | None) -> None:
        self.app, self.port, self.token = app, port, token
        self.open = not is_loopback(host)
        self.names = _LOOPBACK | ({host.lower(), socket.gethostname().lower()} if self.open else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)  # a report has a content policy of its own
            await send(message)

        refusal = self.refuse(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def refuse(self, method: str, headers: Headers) -> PlainTextResponse | None:
        """The response to a request that must not pass, else None."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return _refusal(421, "This server accepts only its own address; see the line that it printed at startup.")
        if _foreign(method, headers, hosts[0]):
            return _refusal(403, "A page of another site sent this request; only this server's own page may.")
        if self.token is not None and not _knows(headers.get("authorization", ""), self.token):
            return _refusal(
                401, "Give the token: as password in the browser (any name), or curl -u :TOKEN.", _CHALLENGE
            )
        return None

    def _ours(self, host: str) -> bool:
        found = _AUTHORITY.fullmatch(host.lower())
        if found is None or int(found[2] or 80) != self.port:
            return False
        return found[1] in self.names or (self.open and _is_address(found[1]))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _foreign(method: str, headers: Headers, host: str) -> bool:
    """Whether a browser says that another site's page made this request; curl says nothing and is not a browser."""
    origins = headers.getlist("origin")
    if any(origin.lower() != f"http://{host.lower()}" for origin in origins):
        return True
    site = headers.get("sec-fetch-site", "none").lower()
    if site in ("same-origin", "none"):
        return False
    # another page may link to ours, but nothing else from it may reach us
    return method != "GET" or headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") != "document"


def _knows(authorization: str, token: str) -> bool:
    kind, _, value = authorization.partition(" ")
    given = b""
    if kind.lower() == "bearer":
        given = value.strip().encode("utf-8", "replace")
    elif kind.lower() == "basic":
        try:
            given = base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            given = b""
    return hmac.compare_digest(given, token.encode())


def _refusal(status: int, why: str, more: Mapping[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(why + "\n", status, headers={"Connection": "close", **(more or {})})
