"""`groundplane train`: models that mix features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane.apps.ending import finish

__all__ = ["train_app"]

train_app = typer.Typer(help="Train models.", no_args_is_help=True, rich_markup_mode=None)


@train_app.callback()
def _group() -> None:
    """Train models."""


@train_app.command()
def mof(
    config: Annotated[
        Path, typer.Argument(help="What to train: a .toml or .json file (docs/training.md).")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that the output folder holds.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report.")] = False,
) -> None:
    """Train a mixture of features: adapters first, then also the language model."""
    from groundplane.apps import training

    raise typer.Exit(finish(lambda: training.run_mof(config, resume=resume, as_json=as_json)))


@train_app.command()
def forgetting(
    scores: Annotated[
        Path,
        typer.Argument(
            help='JSON: {"tasks": [names], "scores": [[of every task, after the first was '
            "learnt], ...]}."
        ),
    ],
) -> None:
    """Backward transfer and forgetting, from the scores of tasks learnt one after the other."""
    from groundplane.apps import training

    raise typer.Exit(finish(lambda: training.run_forgetting(scores)))
