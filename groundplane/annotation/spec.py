"""What a run is to do: all that changes its results, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from groundplane.core.annotation import ClassTable
from groundplane.core.errors import InputError, did_you_mean

__all__ = ["JobSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The part of a job that its manifest fixes.

    How fast it runs (workers, batch, device, limits of time) is not part of it: that may differ
    from call to call.

    Attributes:
        source: What was given, as a person reads it: the absolute path or the address.
        classes: What is looked for.
        detector: Name of the expert, or several with commas between them; None for all that are
            installed. An object that was handed over stands as `object:` and its class.
        segmenter: Who makes masks; None for those that the detector makes anyway.
        captioner: The language model that describes pictures; None for no captions.
        options: Options of the experts, by name, as text.
        caption_options: Options of the language model.
        caption_prompt: What the language model is asked.
        caption_regions: Whether it describes each region as well.
        exemplars: In some pictures a box (`xyxy`, pixels, upright) around one thing that a prompt
            stands for: the picture's path, the prompt, the box.
        floor: Candidates below this score are not kept.
        merge: Overlap (intersection over union) above which regions of one class, found by
            several prompts, are one; None keeps all.
        tracks: Whether the things in videos are followed.
        frame_step: Every how manieth frame of a video is looked at.
        column: Which column of a list or a table names or holds the pictures; None for the one that
            is called so.
        http: Whether addresses of the web in the source are read.
        max_pixels: A larger picture is refused.
        versions: Of groundplane and of the distributions that the experts come from.

    Raises:
        InputError: If a number is out of range or nothing is asked for.
    """

    source: str
    classes: ClassTable
    detector: str | None = None
    segmenter: str | None = None
    captioner: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    caption_options: tuple[tuple[str, str], ...] = ()
    caption_prompt: str = "Describe the picture in one sentence."
    caption_regions: bool = False
    exemplars: tuple[tuple[str, str, tuple[float, float, float, float]], ...] = ()
    floor: float = 0.1
    merge: float | None = 0.7
    tracks: bool = False
    frame_step: int = 1
    column: str | None = None
    http: bool = False
    max_pixels: int = 40_000_000
    versions: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.classes.prompts:
            raise InputError("annotation: name what to look for; there is no prompt")
        for name, value in (("floor", self.floor), ("merge", self.merge)):
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"annotation: expected {name} from 0 to 1, got {value}")
        for name, count in (("frame_step", self.frame_step), ("max_pixels", self.max_pixels)):
            if count < 1:
                raise InputError(f"annotation: expected {name} of 1 or more, got {count}")
        prompts = {prompt.text for prompt in self.classes.prompts}
        for path, prompt, (left, top, right, bottom) in self.exemplars:
            if prompt not in prompts:
                raise InputError(
                    f"annotation: the exemplar in {path!r} is of {prompt!r}, which is no prompt."
                    f"{did_you_mean(prompt, prompts)}"
                )
            if not (-math.inf < left < right < math.inf and -math.inf < top < bottom < math.inf):
                raise InputError(
                    f"annotation: the exemplar of {prompt!r} in {path!r}: expected left < right "
                    f"and top < bottom, got {(left, top, right, bottom)}"
                )
