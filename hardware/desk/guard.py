"""Who may talk to the desk: its own page and programs of this machine, under its own address, with this boot's token.

A web page of somebody else can make a browser send requests to 127.0.0.1. It cannot choose the Host header (so a name
that was rebound to 127.0.0.1 is noticed), it is named in Origin, and it cannot read the token.
"""

from __future__ import annotations

import hmac
from typing import Final

from flask import Response, request

from hardware.desk.problems import DeskProblem

TOKEN_HEADER: Final = "X-Ecny-Desk-Token"  # noqa: S105  # the name of a header
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Ecny-Notice": "debug, insecure: test money, test keys",
}


class Guard:
    """`hosts`: the values of Host that are the desk; `token`: of this boot."""

    def __init__(self, token: str, hosts: frozenset[str]) -> None:
        self.token = token
        self.hosts = hosts

    def check(self) -> None:
        """Before each request; raises DeskProblem `wrong-host`, `wrong-origin`, `not-authorised`."""
        if request.headers.get("Host", "").lower() not in self.hosts:
            raise DeskProblem(
                "wrong-host", "This Host is not the desk's.", next_step="Open the address that it printed."
            )
        origin = request.headers.get("Origin")
        allowed = {f"http://{host}" for host in self.hosts}
        site = request.headers.get("Sec-Fetch-Site", "none")
        if (origin is not None and origin.lower() not in allowed) or site not in ("none", "same-origin"):
            raise DeskProblem("wrong-origin", "A page from elsewhere has asked.")
        if request.method not in _READING and not self._has_token():
            raise DeskProblem(
                "not-authorised",
                f"The header {TOKEN_HEADER} is missing or of an earlier boot.",
                next_step="Reload the page; a program reads the token from the file that the desk names.",
            )

    def _has_token(self) -> bool:
        given = request.headers.get(TOKEN_HEADER, "").encode("utf-8", "replace")
        return hmac.compare_digest(given, self.token.encode())


def harden(response: Response) -> Response:
    """What every answer carries: no script, style or picture from elsewhere, nothing kept, never in a frame."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response
