"""`groundplane plugins`: what is installed, from where, and whether it loads."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace

from groundplane.core.host import PluginInfo, available, check

__all__ = ["run", "table"]

_HEADERS = ("KIND", "NAME", "FROM", "LOADS", "NEEDS")


def run(*, check: bool, as_json: bool) -> int:
    """Print the installed plugins to stdout.

    Args:
        check: Load each one in a process of its own; else their files are only read.
        as_json: Print JSON instead of a table.

    Returns:
        Exit code 0: a broken plugin is named, never an end of the program.
    """
    plugins = available()
    if check:
        plugins = _loaded(plugins)
    if as_json:
        listed = [{**asdict(plugin), "qualified": plugin.qualified} for plugin in plugins]
        text = json.dumps({"loaded": check, "plugins": listed}, indent=2)
    elif plugins:
        text = table([_HEADERS, *(_row(plugin) for plugin in plugins)])
    else:
        text = "no plugin is installed, not even groundplane's own; reinstall groundplane"
    if plugins and not check and not as_json:
        text += "\n\nFiles were read, not run. To load each one: groundplane plugins --check"
    sys.stdout.write(text + "\n")
    return 0


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows in columns; what a terminal would act on instead of showing becomes `?`.

    Examples:
        >>> print(table([["a", "bc"], ["def", "g"]]))
        a    bc
        def  g
    """
    clean = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in clean
    )


def _loaded(plugins: list[PluginInfo]) -> list[PluginInfo]:
    """The plugins with what really loading them says in place of what their text says."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    tried = [plugin for plugin in plugins if plugin.status != "disabled"]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        reasons = dict(zip(map(id, tried), pool.map(check, tried), strict=True))
    return [
        _after(plugin, reasons[id(plugin)]) if id(plugin) in reasons else plugin
        for plugin in plugins
    ]


def _after(plugin: PluginInfo, reason: str | None) -> PluginInfo:
    if reason is not None:
        return replace(plugin, status="broken", reason=reason)
    if plugin.status == "broken":
        return replace(plugin, status="ok", reason="")
    return plugin


def _row(plugin: PluginInfo) -> tuple[str, ...]:
    loads = f"{plugin.status}: {plugin.reason}" if plugin.reason else plugin.status
    needs = [n.library if n.present else f"{n.library} (missing)" for n in plugin.needs]
    origin = f"{plugin.distribution} {plugin.version}"
    return plugin.kind, plugin.name, origin, loads, ", ".join(needs) or "-"
