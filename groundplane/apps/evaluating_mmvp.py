"""`groundplane evaluate mmvp|mmvp-vlm`: pairs of alike pictures, told apart or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.apps.evaluating import check_out
from groundplane.apps.given import expert_options
from groundplane.apps.told import one_line, quiet
from groundplane.core.errors import InputError
from groundplane.core.files import write_whole
from groundplane.core.host import load
from groundplane.core.image import Image
from groundplane.core.orchestrator import Budget, Orchestrator
from groundplane.core.session import Prompt
from groundplane.core.workers import Resolvers
from groundplane.evaluation.mmvp import MmvpResult

__all__ = ["MmvpJob", "VlmJob", "run_mmvp", "run_mmvp_vlm"]

# A batch of eight questions to a large model on a CPU.
_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class MmvpJob:
    """A file of answers, or the pictures and the model that answers.

    Attributes:
        answers: The file.
        images: Folder of the pictures.
        model: Name of the language model.
        options: The model's options, `key=value`.
        device: Where it runs.
    """

    answers: Path | None
    images: Path | None
    model: str | None
    options: tuple[str, ...] = ()
    device: str = "auto"

    def check(self) -> None:
        """Before any work.

        Raises:
            InputError: If both or neither are given, or half of one.
        """
        given = (self.images is not None, self.model is not None)
        if (self.answers is not None) == any(given) or any(given) != all(given):
            raise InputError(
                "give --answers FILE, or --images FOLDER with --model NAME, not both and not "
                "neither"
            )
        if self.answers is not None and self.options:
            raise InputError("--option is for a model; --answers takes none")


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmJob:
    """An encoder of pictures and texts, or a file of scores.

    Attributes:
        encoder: Its name.
        scores: The file.
        options: The encoder's options, `key=value`.
        template: What a caption is put in.
        device: Where the encoder runs.
    """

    encoder: str | None
    scores: Path | None
    options: tuple[str, ...] = ()
    template: str = "a photo of {}"
    device: str = "auto"


def run_mmvp(
    job: MmvpJob, questions: Path, *, patterns: Path | None, out: Path | None, misses: int
) -> int:
    """Score answers, print the pair accuracy with its interval, the patterns and some misses.

    Raises:
        InputError, PluginNotFoundError, PluginBrokenError, OutputError: One line for stderr.
    """
    from groundplane.evaluation import mmvp

    job.check()
    if out is not None:
        check_out(out)
    asked = mmvp.read_mmvp(questions)
    named = None if patterns is None else mmvp.read_patterns(patterns, asked)
    if job.answers is not None:
        said, other = mmvp.read_responses(job.answers, asked)
        if other:
            sys.stderr.write(
                f"groundplane: {other} answers repeat another truth than {questions.name!r}: they "
                "were made with another version of the questions; the truth of "
                f"{questions.name!r} counts\n"
            )
    else:
        with quiet():
            said = mmvp.answer_mmvp(asked, str(job.images), _model(job))
    result = mmvp.evaluate_mmvp(asked, said, patterns=named)
    _write(out, result.record())
    sys.stdout.write(_mmvp_table(result) + _mmvp_misses(result, misses))
    return 0


def run_mmvp_vlm(job: VlmJob, folder: Path, *, out: Path | None) -> int:
    """Match captions and pictures, print the nine patterns and their mean.

    Raises:
        InputError, PluginNotFoundError, PluginBrokenError, OutputError: One line for stderr.
    """
    from groundplane.evaluation import mmvp_vlm

    if (job.encoder is None) == (job.scores is None):
        raise InputError("give --encoder NAME or --scores FILE, not both and not neither")
    if job.encoder is None and job.options:
        raise InputError("--option is for an encoder; --scores takes none")
    if out is not None:
        check_out(out)
    pairs = mmvp_vlm.read_mmvp_vlm(folder)
    if job.scores is not None:
        margins = mmvp_vlm.read_margins(job.scores, pairs)
    else:
        options = expert_options(job.options)
        with quiet():
            encoder = load("encoders", str(job.encoder), device=job.device, **options)
            margins = mmvp_vlm.score_pairs(pairs, folder, encoder, template=job.template)
    result = mmvp_vlm.evaluate_mmvp_vlm(pairs, margins)
    _write(out, result.record())
    lines = [f"{'pattern':<42}{'n':>5}{'right':>7}{'share':>9}"]
    lines += [
        f"{one_line(name, 40):<42}{every:>5}{right:>7}{right / every:>9.4f}"
        for name, (right, every) in result.by_pattern().items()
    ]
    low, high = result.interval
    lines.append(
        f"{'mean of the patterns':<42}{len(pairs):>5}{sum(result.right):>7}{result.mean:>9.4f}"
    )
    lines.append(
        f"95 % interval of the share of right pairs {low:.4f} to {high:.4f}; chance 0.2500; "
        f"{result.ties} ties, counted as wrong"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _model(job: MmvpJob) -> Callable[[Sequence[Image], Sequence[str]], list[str]]:
    """A language model as a function from pictures and prompts to what it says."""
    made = load("language_models", str(job.model), device=job.device, **expert_options(job.options))
    # Without resolvers: it is the model's own seeing that is measured.
    runner = Orchestrator(made, resolvers=Resolvers(), budget=Budget(seconds=_SECONDS))

    def answer(images: Sequence[Image], prompts: Sequence[str]) -> list[str]:
        asked = [
            Prompt(text=prompt, images=(image,))
            for image, prompt in zip(images, prompts, strict=True)
        ]
        replies = runner.run(asked)
        late = sum(reply.finish == "budget" for reply in replies)
        if late:
            sys.stderr.write(
                f"groundplane: {late} answers were cut off after {_SECONDS:g} s and count as far "
                "as they go\n"
            )
        return [reply.text for reply in replies]

    return answer


def _mmvp_table(result: MmvpResult) -> str:
    (low, high), pairs = result.interval, len(result.pairs)
    right = sum(item.right for item in result.items)
    lines = [
        f"pair accuracy  {result.pair_accuracy:>7.4f}  {sum(result.pairs)} of {pairs} pairs",
        f"  95 % interval {low:.4f} to {high:.4f}; chance {result.chance:.4f}",
        f"accuracy       {result.accuracy:>7.4f}  {right} of {len(result.items)} questions",
        f"{result.unreadable} answers choose no option that can be read, counted as wrong",
    ]
    table = result.by_pattern()
    if table:
        lines += ["", f"{'pattern':<42}{'n':>5}{'right':>7}{'share':>9}"]
        lines += [
            f"{one_line(name, 40):<42}{every:>5}{right:>7}{right / every:>9.4f}"
            for name, (right, every) in table.items()
        ]
    return "\n".join(lines) + "\n"


def _mmvp_misses(result: MmvpResult, most: int) -> str:
    wrong = [item for item in result.items if not item.right]
    lines = [f"\n{len(wrong)} wrong"] if wrong else []
    for item in wrong[:most]:
        how = f"chose ({item.choice})" if item.choice else "cannot be read"
        lines.append(
            f"  {item.question.index}: {one_line(item.question.prompt, 120)} "
            f"({item.question.truth}); {how}: {one_line(item.said, 80)}"
        )
    if len(wrong) > most:
        lines.append(f"  and {len(wrong) - most} more; all are in --json")
    return "\n".join(lines) + ("\n" if lines else "")


def _write(out: Path | None, record: Mapping[str, Any]) -> None:
    if out is not None:
        write_whole(out, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
