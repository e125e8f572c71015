"""`groundplane weights`: checkpoints on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane.apps.ending import finish

__all__ = ["weights_app"]

weights_app = typer.Typer(
    help="Checkpoints of experts.", no_args_is_help=True, rich_markup_mode=None
)


@weights_app.callback()
def _group() -> None:
    """Checkpoints of experts."""


@weights_app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A .pth, .pt or .bin file that you trust.")],
    target: Annotated[Path, typer.Argument(help="Where to write, a name.safetensors.")],
) -> None:
    """Write the tensors of a pickle checkpoint as safetensors, which runs no code when read."""
    from groundplane.apps import weights

    raise typer.Exit(finish(lambda: weights.run(source, target)))
