"""Which regions get a number, the picture with the numbers on it, and the words that list them."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image as PILImage

from groundplane.core.boxes import iou
from groundplane.core.image import FrameMap, Image, Source
from groundplane.core.regions import Regions
from groundplane.core.session import Prompt
from groundplane.language.phrases import spoken_in

__all__ = ["Numbered", "candidates_of", "choose", "with_numbers"]

# Two regions that share so much are one thing, found by two words.
_SAME = 0.9
# An expert of many words is not asked for all of them at once.
_MOST_WORDS = 100
_MOST_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """Regions in the order of their numbers, which begin with 1 and go on from picture to picture.

    Attributes:
        tables: One an image: those of its regions that have a number, in order.
        names: What each is called, over all images.
        left_out: How many more there were, with lower scores.
    """

    tables: tuple[Regions, ...]
    names: tuple[str, ...]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def joined(self) -> Regions:
        """All of them as one table, as a text picks from it; boxes are pixels of their images."""
        count = len(self)
        ids = [f"{image}/{name}" for image, part in enumerate(self.tables) for name in part.ids]
        return Regions(
            ids=tuple(ids),
            boxes=torch.cat([torch.zeros(0, 4), *(part.boxes.cpu() for part in self.tables)]),
            scores=torch.cat([torch.zeros(0), *(part.scores.cpu() for part in self.tables)]),
            phrases=self.names,
            phrase_ids=torch.arange(count),
            image_size=self.tables[0].image_size,
        )

    @property
    def homes(self) -> tuple[tuple[int, str], ...]:
        """The image and the id of each number."""
        return tuple((k, name) for k, part in enumerate(self.tables) for name in part.ids)

    def listed(self) -> str:
        """The numbers with their words, a line each; pictures are told apart where there are some.

        Examples:
            >>> one = Regions.empty(phrases=["dog"], image_size=(8, 8))
            >>> Numbered(tables=(one,), names=()).listed()
            ''
        """
        many = len(self.tables) > 1
        lines = []
        for number, ((image, _), name) in enumerate(zip(self.homes, self.names, strict=True), 1):
            lines.append(f"{number}: {name}" + (f" (picture {image + 1})" if many else ""))
        return "\n".join(lines)


def candidates_of(prompt: Prompt) -> tuple[str, ...]:
    """What to look for before a question is asked: what it names, or else all that can be.

    Examples:
        >>> candidates_of(Prompt(text="Is the dog on the red sofa?"))
        ('dog', 'red sofa')
        >>> candidates_of(Prompt(text="What is this?", vocabulary=("cat", "cup")))
        ('cat', 'cup')
        >>> candidates_of(Prompt(text=""))
        ()
    """
    text = "\n\n".join([prompt.text, *prompt.choices])
    named = (one.among(prompt.vocabulary)[0] for one in spoken_in(text) if not one.unseen)
    words = tuple(dict.fromkeys(word for word in named if word))
    return (words or prompt.vocabulary or ())[:_MOST_WORDS]


def choose(tables: Sequence[Regions], *, most: int) -> Numbered:
    """Give numbers to the regions of the highest scores, from the top of each picture down.

    Args:
        tables: One an image.
        most: Numbers at most, over all images.

    Examples:
        >>> boxes = torch.tensor([[5.0, 5.0, 9.0, 9.0], [0.0, 0.0, 4.0, 4.0]])
        >>> table = Regions(ids=("a", "b"), boxes=boxes, scores=torch.tensor([0.9, 0.5]),
        ...     phrases=("dog",), phrase_ids=torch.tensor([0, 0]), image_size=(10, 10))
        >>> choose([table], most=9).tables[0].ids, choose([table], most=1).tables[0].ids
        (('b', 'a'), ('a',))
        >>> len(choose([Regions.empty(phrases=[], image_size=(4, 4))], most=5))
        0
    """
    merged = [_merged(table) for table in tables]
    rows = [
        (-score, image, row)
        for image, (table, _) in enumerate(merged)
        for row, score in enumerate(table.scores.tolist())
    ]
    kept = sorted(rows)[:most]
    parts, names = [], []
    for image, (table, words) in enumerate(merged):
        boxes = table.boxes.tolist()
        own = [row for _, home, row in kept if home == image]
        own.sort(key=lambda row: (boxes[row][1], boxes[row][0], row))
        index = torch.tensor(own, dtype=torch.long, device=table.boxes.device)
        parts.append(table.select(index))
        names += [words[row] for row in own]
    return Numbered(tables=tuple(parts), names=tuple(names), left_out=len(rows) - len(kept))


def _merged(table: Regions) -> tuple[Regions, list[str]]:
    """A table in which no thing comes twice or has no area, and what each is called."""
    sizes = table.boxes[:, 2:] - table.boxes[:, :2]
    table = table.select((sizes > 0).all(dim=1))
    words, scores = table.labels(unmapped="thing"), table.scores.tolist()
    same = (iou(table.boxes, table.boxes) >= _SAME).tolist()
    names: dict[int, dict[str, None]] = {}
    for row in sorted(range(len(table)), key=lambda row: (-scores[row], row)):
        twin = next((kept for kept in names if same[row][kept]), row)
        names.setdefault(twin, {})[_plain(words[row])] = None
    rows = sorted(names)
    index = torch.tensor(rows, dtype=torch.long, device=table.boxes.device)
    return table.select(index), [" or ".join(names[row]) for row in rows]


def _plain(word: str) -> str:
    """A name as data: one line, none of the signs that the answer is read by."""
    plain = " ".join(re.sub(r"[\[\]{}<>`\x00-\x1f]", " ", word).split())
    return plain[:_MOST_NAME] or "thing"


def with_numbers(image: Image, regions: Regions, *, first: int) -> Image:
    """A copy of a picture with a frame and a number for each region.

    Args:
        image: It stays as it is.
        regions: In the order of their numbers.
        first: The number of the first.

    Returns:
        The picture, 1,800 pixels wide or high; its `frame_map` leads back to the stored pixels.
    """
    from groundplane.spatial.marking import marks_of, picture_of_marks

    ranked = replace(regions, scores=-torch.arange(float(len(regions))))  # drawn in this order
    marks = [
        replace(mark, label=str(first + len(regions) - 1 - i), scores=())
        for i, mark in enumerate(marks_of(ranked))
    ]
    data = picture_of_marks(image, marks, numbers=True)
    with PILImage.open(io.BytesIO(data)) as picture:
        pixels = np.array(picture.convert("RGB"))
    (width, height), (across, down) = image.size, (pixels.shape[1], pixels.shape[0])
    back = FrameMap(matrix=np.array([[width / across, 0.0, 0.0], [0.0, height / down, 0.0]]))
    digest = hashlib.sha256(data).hexdigest()
    return Image(
        pixels=pixels,
        source=Source(name=f"{image.source.name} with marks", content_hash=digest),
        frame_map=back.then(image.frame_map),
    )
