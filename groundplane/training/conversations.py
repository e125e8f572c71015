"""A conversation as tokens and labels: only what the assistant says is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.training.samples import PLACEHOLDER, Sample, Turn

__all__ = ["IGNORED", "Conversations", "Encoded", "Rendered"]

# Of a label that the loss passes over.
IGNORED = -100

# Of Vicuna 1.1 (Zheng et al., 2023), with which LLaVA's models are trained.
_VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


class Rendered(NamedTuple):
    """A conversation as one text.

    Attributes:
        text: All of it.
        answers: Where in it answers stand, each with the mark that ends it: from, to.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


class Encoded(NamedTuple):
    """A conversation as tokens.

    Attributes:
        ids: A picture's placeholder stands once for each of its tokens.
        labels: The same, and `IGNORED` outside of answers.
        cut: Whether it was too long.
    """

    ids: Int[Tensor, " t"]
    labels: Int[Tensor, " t"]
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conversations:
    """Brings conversations to tokens.

    Attributes:
        tokenizer: A fast tokenizer of transformers that has `<image>` as one token.
        image_token_id: Of `<image>`.
        image_tokens: Tokens a picture.
        template: The tokenizer's `chat` template, `vicuna`, or the first if there is one.
        max_length: Longer conversations are cut.

    Raises:
        InputError: If the tokenizer lacks what this takes.
    """

    tokenizer: Any
    image_token_id: int
    image_tokens: int
    template: Literal["auto", "chat", "vicuna"] = "auto"
    max_length: int = 2048

    def __post_init__(self) -> None:
        name = type(self.tokenizer).__name__
        if not getattr(self.tokenizer, "is_fast", False):
            raise InputError(
                f"training: expected a fast tokenizer, which says where tokens stand in the text, "
                f"got {name}"
            )
        if self.template == "chat" and not self.tokenizer.chat_template:
            raise InputError(
                f"training: template = 'chat': {name} has no chat template; use 'vicuna'"
            )
        if not self.uses_chat and not self.tokenizer.eos_token:
            raise InputError(
                f"training: {name} has no end-of-text token, so that no model could learn where "
                "an answer ends"
            )

    @property
    def uses_chat(self) -> bool:
        """Whether the tokenizer's chat template is used."""
        return self.template != "vicuna" and bool(self.tokenizer.chat_template)

    def render(self, turns: Sequence[Turn]) -> Rendered:
        """The text of a conversation.

        Raises:
            InputError: If the chat template does not write turns one after the other.
        """
        return _chat(turns, self.tokenizer) if self.uses_chat else self._vicuna(turns)

    def encode(self, sample: Sample) -> Encoded:
        """Tokens and labels of a sample.

        Raises:
            InputError: If nothing of an answer is left within `max_length`, a picture is not, or
                the text has other placeholders than pictures; it names the sample.
        """
        rendered = self.render(sample.turns)
        encoding = self.tokenizer(
            rendered.text,
            add_special_tokens=not self.uses_chat,  # a chat template writes them itself
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        ids = torch.tensor(encoding["input_ids"], dtype=torch.long)
        labels = torch.full_like(ids, IGNORED)
        starts, ends = torch.tensor(encoding["offset_mapping"]).reshape(-1, 2).unbind(1)
        for start, end in rendered.answers:
            inside = (starts >= start) & (starts < end) & (ends > starts)
            labels = torch.where(inside, ids, labels)
        labels[:1] = IGNORED  # nothing comes before it
        return self._spread(ids, labels, sample)

    def _spread(self, ids: Int[Tensor, " t"], labels: Int[Tensor, " t"], sample: Sample) -> Encoded:
        is_image = ids == self.image_token_id
        pictures = int(is_image.sum())
        if pictures != len(sample.images):
            raise InputError(
                f"{sample.name}: expected {PLACEHOLDER} {len(sample.images)} times in its text, "
                f"got it {pictures} times"
            )
        times = torch.where(is_image, self.image_tokens, 1)
        ids, labels = ids.repeat_interleave(times), labels.repeat_interleave(times)
        cut = len(ids) > self.max_length
        ids, labels = ids[: self.max_length], labels[: self.max_length]
        if int((ids == self.image_token_id).sum()) != pictures * self.image_tokens:
            raise InputError(
                f"{sample.name}: its {pictures} pictures take {pictures * self.image_tokens} "
                f"tokens and do not fit into max_length = {self.max_length}"
            )
        if bool((labels == IGNORED).all()):
            raise InputError(
                f"{sample.name}: nothing of its answers is left within max_length = "
                f"{self.max_length}"
            )
        return Encoded(ids=ids, labels=labels, cut=cut)

    def _vicuna(self, turns: Sequence[Turn]) -> Rendered:
        text, answers = "", []
        system = turns[0].text if turns[0].role == "system" else _VICUNA_SYSTEM
        for turn in turns:
            if turn.role == "user":
                text += ("" if text else f"{system} ") + f"USER: {turn.text} ASSISTANT:"
            elif turn.role == "assistant":
                start, text = len(text), f"{text} {turn.text}{self.tokenizer.eos_token}"
                answers.append((start, len(text)))
        return Rendered(text=text, answers=tuple(answers))


def _chat(turns: Sequence[Turn], tokenizer: Any) -> Rendered:
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]

    def written(count: int, *, prompt: bool = False) -> str:
        try:
            text = tokenizer.apply_chat_template(
                messages[:count], tokenize=False, add_generation_prompt=prompt
            )
        except Exception as error:  # a template is a program of the checkpoint's author
            said = " ".join(str(error).split())[:200]
            raise InputError(f"training: the chat template fails: {said}") from error
        return str(text)

    whole = written(len(messages))
    answers = []
    for place, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        head, upto = written(place, prompt=True), written(place + 1)
        if not (whole.startswith(upto) and upto.startswith(head)):
            raise InputError(
                "training: the chat template does not write turns one after the other, so that "
                "it cannot be seen where answers stand; use template = 'vicuna'"
            )
        # White space after the mark that ends an answer is never generated.
        answers.append((len(head), len(upto.rstrip())))
    return Rendered(text=whole, answers=tuple(answers))
