"""What a server honours of what stop-and-continue needs, found out by asking it a few words."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Literal

from groundplane.grounding.dialects import dialect as dialect_of
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.chat.terms import How, Tool, Ways
from groundplane.language.chat.transport import Chat, ChatError
from groundplane.language.dialect_triggers import dialect_triggers
from groundplane.language.triggers import Trigger

__all__ = ["KEEP_TAGS", "REPEAT", "Probe"]

# Fields by which vLLM and SGLang leave a dialect's special tokens and stop signs in the text.
KEEP_TAGS: Mapping[str, Any] = {
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "include_stop_str_in_output": True,
}
REPEAT = "Repeat exactly, and nothing else: "
_WORD = "cat"
_AS_JSON = (
    "When you name a thing that can be seen, say where it is right behind it, as JSON: "
    '{"bbox_2d": [left, top, right, bottom], "label": "what it is"}. The numbers are thousandths '
    "of the picture's width and height, from its top left corner."
)
_AS_INDEX = "Name a region by its number in brackets, such as [1]."

Verdict = Literal["kept", "dropped", "unclear"]


class Probe:
    """Finds the ways of an interface, once; safe from several threads.

    Args:
        chat: The interface.
        how: What the user wants; `auto`: the best that works.
        dialect: Of the model; None: it writes no places.
        tools: That may be called.
        triggers: Besides the dialect's.
    """

    def __init__(
        self,
        chat: Chat,
        *,
        how: How | Literal["auto"],
        dialect: Dialect | None,
        tools: tuple[Tool, ...] = (),
        triggers: tuple[Trigger, ...] = (),
    ) -> None:
        self._chat, self._how, self._dialect = chat, how, dialect
        self._tools, self._triggers = tools, triggers
        self._lock = threading.Lock()
        self._found: dict[bool, Ways] = {}

    def ways(self, *, regions: bool = False) -> Ways:
        """How the interface is asked.

        Args:
            regions: Whether the prompts bring regions that may be picked by index.

        Raises:
            ChatError: If it cannot be asked at all.
        """
        with self._lock:
            if regions not in self._found:
                self._found[regions] = self._find(regions)
            return self._found[regions]

    def _find(self, regions: bool) -> Ways:
        notes: list[str] = []
        extras: Mapping[str, Any] = {}
        dialect, instruction = self._dialect, ""
        if dialect is not None and dialect.convention.tokens_are_special:
            verdict, extras = self._tags(dialect)
            if verdict == "dropped":
                other, instruction = ("gpt-4o", _AS_INDEX) if regions else ("qwen3-vl", _AS_JSON)
                notes.append(
                    f"the server drops the special tokens of dialect {dialect.name}; the model is "
                    f"asked for places in dialect {other}"
                )
                dialect = dialect_of(other)
            elif verdict == "unclear":
                notes.append(
                    f"the model did not show whether the server keeps the special tokens of "
                    f"dialect {dialect.name}"
                )
        triggers = (*(dialect_triggers(dialect) if dialect else ()), *self._triggers)
        how, resumes = self._choose(bool(triggers), dialect is not None, notes)
        return Ways(
            how=how,
            dialect=dialect,
            instruction=instruction,
            triggers=triggers if how == "continue" else self._triggers,
            tools=self._tools if how == "tools" else (),
            extras=extras,
            resumes=resumes,
            notes=tuple(notes),
        )

    def _choose(self, triggers: bool, placed: bool, notes: list[str]) -> tuple[How, bool]:
        """How results get into the answer, and whether a text is gone on with."""
        resumes = False
        if self._how in ("auto", "continue"):
            resumes = self._continues()
            if self._how == "continue" and not resumes:
                notes.append("the server does not continue an unfinished answer")
            if resumes and triggers:
                return "continue", True
            if self._how == "continue" and resumes:
                notes.append("the dialect marks no phrases that could be stopped at")
        wanted = self._how == "tools" or (self._how == "auto" and not placed)
        if wanted and self._tools:
            if self._calls():
                return "tools", resumes
            notes.append("the server refuses tool calls; what the model says is taken as it is")
        return "text", resumes

    # Questions ---------------------------------------------------------------------------------

    def _tags(self, dialect: Dialect) -> tuple[Verdict, Mapping[str, Any]]:
        """Whether a dialect's tags come through, and the fields with which they do."""
        pairs = [*dialect.syntax.phrases]
        pairs += [(kind.open, kind.close) for kind in dialect.syntax.enclosed]
        before, after = pairs[0] if pairs else ("", "")
        asked = [{"role": "user", "content": f"{REPEAT}{before}{_WORD}{after}"}]
        extras: Mapping[str, Any] = KEEP_TAGS
        try:
            said = self._say({"messages": asked, "max_tokens": 24, **extras})[0]
        except ChatError as error:
            if error.kind != "unsupported":
                raise
            extras = {}
            said = self._say({"messages": asked, "max_tokens": 24})[0]
        if before and before in said:
            return "kept", extras
        return ("dropped" if _WORD in said.lower() else "unclear"), extras

    def _continues(self) -> bool:
        """Whether an unfinished answer is gone on with.

        A template that ends the turn, and begins a new one, makes the prompt longer: the server
        honours the field if the prompt is shorter with it than without.
        """
        turns = [
            {"role": "user", "content": "Count to five."},
            {"role": "assistant", "content": "One, two,"},
        ]
        body = {"messages": turns, "max_tokens": 1}
        try:
            going = {"continue_final_message": True, "add_generation_prompt": False}
            short = self._say({**body, **going})[1]
        except ChatError as error:
            if error.kind != "unsupported":
                raise
            return False
        try:
            long = self._say(body)[1]
        except ChatError as error:
            if error.kind != "unsupported":
                raise
            return True  # it takes an unfinished answer only to go on with it
        return 0 < short < long

    def _calls(self) -> bool:
        asked = [{"role": "user", "content": "Say yes."}]
        made = {
            "type": "function",
            "function": {
                "name": "nothing",
                "description": "Does nothing.",
                "parameters": {"type": "object", "properties": {}},
            },
        }
        try:
            body = {"messages": asked, "max_tokens": 1, "tools": [made], "tool_choice": "auto"}
            self._say(body)
        except ChatError as error:
            if error.kind != "unsupported":
                raise
            return False
        return True

    def _say(self, body: Mapping[str, Any]) -> tuple[str, int]:
        """The text of a reply, and the tokens of its prompt, 0 where they are not told."""
        text, prompt = "", 0
        for delta in self._chat.stream({"temperature": 0, **body}):
            text += delta.text
            prompt = delta.usage.prompt if delta.usage is not None else prompt
        return text, prompt
