"""The messages of one answer's requests, and what of its text the model sees as said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundplane.core.frames import Frame
from groundplane.core.session import Prompt
from groundplane.language.chat.messages import listed, messages_of
from groundplane.language.chat.terms import ChatTerms, Ways

__all__ = ["Conversation"]


class Conversation:
    """What is sent for one answer, request by request.

    Args:
        prompt: What is asked.
        terms: Limits, and what all requests have in common.

    Attributes:
        frames: One a picture of the prompt.
        turn: What the model has said in the turn that is not over, with what it was told in it.
        spent: Tokens of the answer so far, where the interface counts them.
        rounds: Results that were told so far.
        first_image: The first picture that the model still sees.
        remarks: What a reader must know of how the prompt was put, one line each.
    """

    def __init__(self, prompt: Prompt, *, terms: ChatTerms) -> None:
        self._prompt, self._terms = prompt, terms
        self._ways = Ways()
        self._messages: list[dict[str, Any]] = []
        self._asked = 0
        self._skip = ""
        self._from = 0
        self.frames: list[Frame] = []
        self.turn, self.spent, self.rounds, self.first_image = "", 0, 0, 0
        self.remarks: list[str] = []

    def begin(self, ways: Ways) -> None:
        """Word the prompt.

        Raises:
            InputError: If it cannot be worded, or a picture cannot be sent.
        """
        self._ways = ways
        self.frames = [self._terms.fit(image) for image in self._prompt.images]
        regions = listed(self._prompt, ways.dialect) if self._terms.list_regions else ""
        self._messages = messages_of(
            self._prompt, self.frames, instruction=ways.instruction, regions=regions
        )
        self._asked = len(self._messages)
        if len(self.frames) > 1 and ways.dialect is not None and ways.how != "tools":
            count = len(self.frames)
            self.remarks.append(f"places in the text are read as of the first of {count} pictures")

    @property
    def stops(self) -> tuple[str, ...]:
        """The signs that the reply is stopped at."""
        if not self._ways.resumes or self.rounds >= self._terms.rounds:
            return ()
        return tuple(dict.fromkeys(t.close for t in self._ways.triggers if t.waits))

    def body(self) -> Mapping[str, Any]:
        """The request to be sent now."""
        self._from = len(self.turn)
        ways, messages = self._ways, list(self._messages)
        body: dict[str, Any] = {**self._terms.fields, **ways.extras}
        body["max_tokens"] = max(1, self._terms.max_tokens - self.spent)
        if self.turn and ways.resumes:
            messages.append({"role": "assistant", "content": self.turn})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if self.stops:
            body["stop"] = list(self.stops)
        if ways.tools:
            body["tools"] = [
                _function(tool.name, tool.description, tool.parameters) for tool in ways.tools
            ]
            body["tool_choice"] = "auto" if self.rounds < self._terms.rounds else "none"
        body["messages"] = messages
        return body

    def fresh(self, text: str) -> str | None:
        """What of a piece was not said before; None where it is something else than was said."""
        if not self._skip:
            return text
        known, fresh = text[: len(self._skip)], text[len(self._skip) :]
        if not self._skip.startswith(known):
            return None
        self._skip = self._skip[len(known) :]
        self.turn += known
        return fresh

    @property
    def behind(self) -> bool:
        """Whether what was said before the reply broke off has not come again in full."""
        return bool(self._skip)

    def turned(self, text: str) -> None:
        """The turn is over, and the model is told something in the next one."""
        self._messages += [
            {"role": "assistant", "content": self.turn},
            {"role": "user", "content": text},
        ]
        self.turn = ""

    def called(self, messages: Sequence[dict[str, Any]]) -> None:
        """The turn is over; these messages hold it and the results of its calls."""
        self._messages += messages
        self.turn = ""
        self.rounds += 1

    def again(self, *, resumes: bool) -> str:
        """Get ready to ask again after the reply broke off; gives how, in words."""
        said = self.turn[self._from :]
        if not said:
            return "asked again"
        if resumes:
            return f"gone on with behind {len(said)} characters"
        # Of a model that does not choose by chance the same text comes, and is passed over.
        self._skip = said
        self.turn = self.turn[: self._from]
        return f"asked again; the {len(said)} characters that were said are passed over"

    def shorten(self) -> str:
        """Leave out the oldest of what can be left out; gives what, in words; empty: nothing."""
        later = self._messages[self._asked :]
        if len(later) > 1:
            ends = [i for i, m in enumerate(later) if i and m["role"] == "assistant"]
            count = ends[0] if ends else len(later)
            del self._messages[self._asked : self._asked + count]
            return "the oldest turn was left out"
        content = self._messages[self._asked - 1]["content"]
        places = [i for i, part in enumerate(content) if isinstance(part, dict)]
        pictures = [i for i in places if content[i]["type"] == "image_url"]
        if len(pictures) < 2:
            return ""
        self.first_image += 1
        words = {"type": "text", "text": f"(Picture {self.first_image} is left out.)"}
        content[pictures[0]] = words
        return f"picture {self.first_image} of {len(self.frames)} was left out"


def _function(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": about}
