"""MMVP-VLM: does an encoder of pictures and texts match two captions to two alike pictures?

Nine visual patterns of fifteen pairs. Under each caption of a pair the picture with the higher
softmax must be the caption's own; a pair counts only if both are. Read are the published folder
(`Questions.csv`: number, pattern, caption; pictures as `PATTERN/NUMBER.jpg`), and instead of an
encoder the table that the benchmark's script `evaluate_vlm.py` writes.

Source: Tong et al., Eyes Wide Shut?, CVPR 2024, and the script. We differ in two points: a tie is
wrong here, where the script lets the second picture win it; and pairs are told apart by the
pattern that the table states, where the script counts fifteen at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import DetectorError, InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.evaluation.documents import Row, read_csv, read_json, rows_of
from groundplane.evaluation.metrics import wilson

__all__ = [
    "PATTERNS",
    "PairEncoder",
    "VlmPair",
    "VlmResult",
    "evaluate_mmvp_vlm",
    "read_margins",
    "read_mmvp_vlm",
    "score_pairs",
]

# The patterns by the names of their folders, in the order of the paper.
PATTERNS = {
    "orientation": "orientation and direction",
    "presence": "presence of specific features",
    "state": "state and condition",
    "quantity": "quantity and count",
    "spatial": "positional and relational context",
    "color": "colour and appearance",
    "structural character": "structural and physical characteristics",
    "text": "text",
    "camera perspective": "viewpoint and perspective",
}
# The published folder and that of the README, spelled as `_plain` does.
_ROOTS = ("mllm vlm images", "mmvp vlm images")
_ENDINGS = (".jpg", ".jpeg", ".png")
_BATCH = 16


@runtime_checkable
class PairEncoder(Protocol):
    """An encoder that knows texts too, such as CLIP."""

    def encode(self, images: Sequence[Image]) -> FeatureGrid:
        """See `Encoder.encode`; `summary` lies in the space of the texts."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "n e"]:
        """Texts in the space of the summaries."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmPair:
    """Two pictures and their captions.

    Attributes:
        numbers: Of the two questions; the first is odd.
        pattern: What the pictures differ in.
        captions: The first picture's and the second's.
        type: The pattern as the table states it, which is the pictures' folder.
    """

    numbers: tuple[int, int]
    pattern: str
    captions: tuple[str, str]
    type: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VlmResult:
    """All scored pairs.

    Attributes:
        pairs: As read.
        margins: Under each of the two captions, by how much the first picture scores higher.
    """

    pairs: tuple[VlmPair, ...]
    margins: Float[Tensor, "p 2"]

    @property
    def right(self) -> tuple[bool, ...]:
        """For each pair whether both captions go to their own pictures; a tie is wrong."""
        return tuple(((self.margins[:, 0] > 0) & (self.margins[:, 1] < 0)).tolist())

    @property
    def ties(self) -> int:
        """Captions under which both pictures score the same."""
        return int((self.margins == 0).sum())

    def by_pattern(self) -> dict[str, tuple[int, int]]:
        """For each pattern, in the paper's order: pairs that are right, and all."""
        table = dict.fromkeys((*PATTERNS.values(), *(p.pattern for p in self.pairs)), (0, 0))
        for pair, right in zip(self.pairs, self.right, strict=True):
            good, every = table[pair.pattern]
            table[pair.pattern] = (good + right, every + 1)
        return {name: counts for name, counts in table.items() if counts[1]}

    @property
    def mean(self) -> float:
        """Mean of the patterns' shares: the benchmark's number."""
        shares = [right / every for right, every in self.by_pattern().values()]
        return sum(shares) / len(shares)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share of right pairs."""
        return wilson(sum(self.right), len(self.right))

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return {
            "benchmark": "mmvp-vlm",
            "pairs": len(self.pairs),
            "pairs_right": sum(self.right),
            "mean": self.mean,
            "interval_95": list(self.interval),
            "chance": 0.25,
            "ties": self.ties,
            "patterns": {
                name: {"right": right, "n": every, "share": right / every}
                for name, (right, every) in self.by_pattern().items()
            },
            "items": [
                {
                    "numbers": list(pair.numbers),
                    "pattern": pair.pattern,
                    "captions": list(pair.captions),
                    "margins": margins,
                    "right": right,
                }
                for pair, margins, right in zip(
                    self.pairs, self.margins.tolist(), self.right, strict=True
                )
            ],
        }


def read_mmvp_vlm(folder: str | Path) -> tuple[VlmPair, ...]:
    """Read the pairs of a published folder; its pictures are not looked at.

    Args:
        folder: Holds `Questions.csv`.

    Raises:
        InputError: If the table is malformed, a number is used twice or has no partner, or the
            two of a pair have unlike patterns.
    """
    columns = {
        "Question ID": ("question id", "question_id", "qid", "index", "id"),
        "Type": ("type", "pattern", "category"),
        "Statement": ("statement", "caption", "text"),
    }
    rows = read_csv(Path(folder) / "Questions.csv", what="questions", columns=columns)
    if not rows:
        raise InputError("questions 'Questions.csv': there are none in it")
    by_number: dict[int, Row] = {}
    for row in rows:
        number = row.ordinal("Question ID")
        if number in by_number:
            raise row.error("Question ID", "a number that is not used twice", number)
        by_number[number] = row
    for number in by_number:
        partner = number + 1 if number % 2 else number - 1
        if partner not in by_number:
            raise InputError(
                f"questions 'Questions.csv': question {number} has no partner: {partner} is not "
                "there"
            )
    return tuple(
        _pair(number, by_number[number], by_number[number + 1])
        for number in sorted(by_number)
        if number % 2
    )


def score_pairs(
    pairs: Sequence[VlmPair],
    folder: str | Path,
    encoder: PairEncoder,
    *,
    template: str = "a photo of {}",
) -> Float[Tensor, "p 2"]:
    """Let an encoder match captions and pictures, some pairs at a time.

    Args:
        pairs: See `read_mmvp_vlm`.
        folder: The published folder.
        encoder: Its summaries and texts are compared by their cosine. The softmax over two
            pictures is higher where the cosine is, so no temperature is needed.
        template: What a caption is put in, at `{}`; the default is the script's.

    Returns:
        Margins, on the CPU; see `VlmResult`.

    Raises:
        InputError: If a picture is missing, the template has not one `{}`, or the encoder knows
            no texts.
        DetectorError: If the encoder gives numbers that are not finite, or of unlike widths.
    """
    if template.count("{}") != 1:
        raise InputError(f"template: expected a text with one '{{}}', got {template!r}")
    if not isinstance(encoder, PairEncoder):
        raise InputError(
            f"mmvp-vlm: {type(encoder).__name__} embeds no texts; name an encoder that does, such "
            "as clip or siglip, with a checkpoint that has its text tower"
        )
    files = _files(pairs, Path(folder))  # all, before any work
    margins = [torch.zeros(0, 2)]
    for start in range(0, len(pairs), _BATCH):
        group = pairs[start : start + _BATCH]
        images = [read_image(path) for both in files[start : start + _BATCH] for path in both]
        texts = [template.replace("{}", text) for pair in group for text in pair.captions]
        margins.append(_margins(encoder.encode(images).summary, encoder.embed_texts(texts)))
    return torch.cat(margins)


def read_margins(path: str | Path, pairs: Sequence[VlmPair]) -> Float[Tensor, "p 2"]:
    """Read the scores of pairs, in their order.

    Args:
        path: The script's `output.csv`, or JSON lines of the same fields: `qid1`, `qid2`, and
            `q1score`, `q2score`: the softmax of the first picture under the first caption and
            under the second.
        pairs: See `read_mmvp_vlm`.

    Raises:
        InputError: If the file is malformed, a score lies outside of [0, 1], or a pair has no
            scores or two.
    """
    fields = ("qid1", "qid2", "q1score", "q2score")
    if Path(path).suffix.lower() == ".csv":
        rows = read_csv(path, what="scores", columns={field: (field,) for field in fields})
    else:
        rows = rows_of(read_json(path, what="scores"), path=path, what="scores")
    given: dict[tuple[int, int], tuple[float, float]] = {}
    for row in rows:
        key = (row.ordinal("qid1"), row.ordinal("qid2"))
        if key in given:
            raise row.error("qid1", "a pair that is not there twice", key[0])
        given[key] = (_share(row, "q1score"), _share(row, "q2score"))
    missing = [pair.numbers for pair in pairs if pair.numbers not in given]
    if missing:
        more = f", nor have {len(missing) - 1} others" if missing[1:] else ""
        raise InputError(
            f"scores {Path(path).name!r}: the pair {missing[0][0]}, {missing[0][1]} has none{more}"
        )
    shares = [given[pair.numbers] for pair in pairs]
    return torch.tensor(shares, dtype=torch.float64).reshape(-1, 2) - 0.5


def evaluate_mmvp_vlm(pairs: Sequence[VlmPair], margins: Float[Tensor, "p 2"]) -> VlmResult:
    """Score pairs.

    Args:
        pairs: See `read_mmvp_vlm`.
        margins: See `VlmResult`.

    Raises:
        InputError: If there are no pairs, or not one row of finite margins a pair.

    Examples:
        >>> pair = VlmPair(
        ...     numbers=(1, 2), pattern="text", captions=("a sign STOP", "a sign GO"), type="Text"
        ... )
        >>> evaluate_mmvp_vlm([pair], torch.tensor([[0.2, -0.1]])).mean
        1.0
        >>> evaluate_mmvp_vlm([pair], torch.tensor([[0.2, 0.0]])).mean
        0.0
    """
    if not pairs or margins.shape != (len(pairs), 2) or not bool(margins.isfinite().all()):
        raise InputError(
            f"mmvp-vlm: expected pairs and two finite margins a pair, got {len(pairs)} pairs and "
            f"margins of shape {tuple(margins.shape)}"
        )
    return VlmResult(pairs=tuple(pairs), margins=margins)


def _pair(number: int, first: Row, second: Row) -> VlmPair:
    kind, other = first.text("Type"), second.text("Type")
    if _plain(kind) != _plain(other):
        raise second.error("Type", f"{kind!r}, that of question {number}", other)
    return VlmPair(
        numbers=(number, number + 1),
        pattern=PATTERNS.get(_plain(kind), _plain(kind)),
        captions=(first.text("Statement"), second.text("Statement")),
        type=kind,
    )


def _files(pairs: Sequence[VlmPair], folder: Path) -> list[tuple[Path, Path]]:
    """The pictures of pairs. Names of a table are looked up in the folder, never joined to it."""
    inside = _folders(folder)
    root = next((inside[name] for name in _ROOTS if name in inside), folder)
    folders = {name: _pictures(path) for name, path in _folders(root).items()}
    found = []
    for pair in pairs:
        held = folders.get(_plain(pair.type))
        if held is None:
            raise InputError(
                f"{str(root)!r} has no folder {pair.type!r}, which Questions.csv names"
            )
        for number in pair.numbers:
            if str(number) not in held:
                raise InputError(f"{str(root / pair.type)!r} has no picture '{number}.jpg'")
        found.append((held[str(pair.numbers[0])], held[str(pair.numbers[1])]))
    return found


def _folders(folder: Path) -> dict[str, Path]:
    try:
        return {_plain(path.name): path for path in sorted(folder.iterdir()) if path.is_dir()}
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be read: {error.strerror}") from error


def _pictures(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in _ENDINGS}


def _margins(
    pictures: Float[Tensor, "two e"] | None, texts: Float[Tensor, "two e"]
) -> Float[Tensor, "p 2"]:
    if pictures is None or pictures.shape != texts.shape:
        got = None if pictures is None else tuple(pictures.shape)
        raise DetectorError(
            f"mmvp-vlm: expected a summary a picture of the shape of the texts "
            f"{tuple(texts.shape)}, got {got}"
        )
    seen = torch.nn.functional.normalize(pictures.double(), dim=-1).reshape(
        -1, 2, 1, texts.shape[1]
    )
    read = torch.nn.functional.normalize(texts.double().to(seen.device), dim=-1)
    cosines = (seen * read.reshape(-1, 1, 2, texts.shape[1])).sum(dim=-1)  # pair, picture, caption
    margins = (cosines[:, 0] - cosines[:, 1]).cpu()
    if not bool(margins.isfinite().all()):
        raise DetectorError("mmvp-vlm: the encoder gave numbers that are not finite")
    return margins


def _share(row: Row, key: str) -> float:
    """A number of [0, 1], as a number or as text."""
    value: Any = row.values.get(key)
    try:
        share = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        share = -1.0
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise row.error(key, "a number from 0 to 1", value)
    return share


def _plain(name: str) -> str:
    """A folder's or pattern's name, however it is spelled."""
    return " ".join(name.replace("_", " ").casefold().split())
