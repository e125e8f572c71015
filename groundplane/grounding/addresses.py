"""Addresses of servers that a user names: plain ones, without a secret in them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from groundplane.core.errors import InputError
from groundplane.grounding.remote_protocol import printable

__all__ = ["plain_address"]


def plain_address(url: str, *, who: str, example: str, secret: str) -> SplitResult:
    """The parts of a URL.

    Args:
        url: As a user wrote it.
        who: Names the plugin in the message.
        example: A URL of the kind that is expected.
        secret: What would be a name or password in it; it belongs into the environment variable
            that the option `<secret>_env` names.

    Raises:
        InputError: If it is no plain `http` or `https` URL.

    Examples:
        >>> plain_address("http://host:80/v1", who="me", example="", secret="key").port
        80
    """
    shown = printable(url.rpartition("@")[2])
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isprintable() or " " in url:
        raise InputError(f"{who}: option url: expected a URL such as {example}, got {shown!r}")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            f"{who}: option url: holds a name or password, which would be shown. Try: put the "
            f"{secret} into an environment variable and name that with --option {secret}_env=NAME"
        )
    if parts.query or parts.fragment:
        raise InputError(f"{who}: option url: expected no `?` or `#` in {shown!r}")
    return parts
