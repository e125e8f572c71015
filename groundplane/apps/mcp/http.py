"""The tools over HTTP on this machine, for clients that know the token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from groundplane.apps.listening import (
    check_address,
    listen,
    make_token,
    serve_guarded,
    server_names,
    shown_address,
    tell,
)
from groundplane.apps.mcp.crew import Crew
from groundplane.apps.mcp.guard import MOST_BODY, MOST_HEADERS, Guard

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from groundplane.apps.mcp.serving import HttpTerms

__all__ = ["serve"]

_ROUTE = "/mcp"
_MOST_SESSIONS = 64


async def serve(crew: Crew, server: Server[dict[str, Any]], terms: HttpTerms) -> None:
    """Serve over HTTP until Ctrl-C.

    Raises:
        InputError: If the address cannot be listened on, or there is no good token.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    host, port = check_address(terms.address)
    token = make_token(terms.token_env)
    listener = listen(host, port)
    names = server_names(host, listener.getsockname()[1], terms.allowed)
    await crew.start()
    # The SDK checks hosts and origins too, where a request has come past the guard.
    security = TransportSecuritySettings(
        allowed_hosts=sorted(names),
        allowed_origins=sorted(f"{way}://{name}" for name in names for way in ("http", "https")),
    )
    app = server.streamable_http_app(
        streamable_http_path=_ROUTE,
        transport_security=security,
        max_request_body_size=MOST_BODY,
        max_sessions=_MOST_SESSIONS,
    )
    tell(f"listening on http://{shown_address(listener)}{_ROUTE}")
    if terms.token_env is None:
        tell(f"token: {token}")
    guard = Guard(app, names=names, token=token)
    await serve_guarded(guard, listener, most_headers=MOST_HEADERS)
