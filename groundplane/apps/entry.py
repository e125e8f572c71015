"""Where the `groundplane` command starts.

typer needs pydantic to read the parameters of any command, which takes longer than the plugin
listing itself. So the listing, which must answer at once even beside broken plugins, is started
from here; everything else goes through `groundplane.apps.cli`.
"""

from __future__ import annotations

import sys

from groundplane.core.errors import GroundplaneError

__all__ = ["main"]

_LISTING = {"--check", "--json"}


def main() -> None:
    """Run the command line: a known error is one line on stderr and exit code 2."""
    try:
        _dispatch(sys.argv[1:])
    except GroundplaneError as error:
        sys.stderr.write(f"groundplane: error: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from None


def _dispatch(arguments: list[str]) -> None:
    if arguments[:1] == ["plugins"] and _LISTING.issuperset(arguments[1:]):
        from groundplane.apps.ending import finish
        from groundplane.apps.plugins import run

        check, as_json = "--check" in arguments, "--json" in arguments
        raise SystemExit(finish(lambda: run(check=check, as_json=as_json)))
    from groundplane.apps.cli import app

    app()
