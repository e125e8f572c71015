"""The streaming scanner: fed a model's text as it comes, it gives text to show, mentions, problems.

It is fed any split of the text and finds the same; it holds back only what could still become a
sign of the dialect, so half a tag is never shown; its state is bounded and its time linear,
whatever comes.
"""

from __future__ import annotations

from groundplane.core.frames import Frame
from groundplane.core.locations import Rung
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.grounding.scanning.assembling import Assembler, Event
from groundplane.grounding.scanning.lexing import TagLexer
from groundplane.grounding.scanning.objects import ObjectLexer

__all__ = ["Event", "Scanner"]


class Scanner:
    """Reads one text of one dialect, piece by piece.

    Args:
        dialect: The language of the text.
        frame: The frame that its numbers live in.
        regions: What indices pick from, in the order in which the model was given them.
        spelled: Tags count where characters spell them; else only where `special` brings them.
        rung: How the text is read, as its locations state it.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> scanner = Scanner(dialect("qwen-vl"), Frame.original((640, 480)))
        >>> scanner.feed("See <re"), scanner.feed("f> a dog</ref><box>(100,100),(5")
        (['See'], [' a dog'])
        >>> [mention] = scanner.feed("00,500)</box>") + scanner.close()
        >>> mention.phrase, mention.span, mention.located.boxes.tolist()
        ('a dog', (4, 9), [[64.0, 48.0, 320.0, 240.0]])
        >>> Scanner(dialect("qwen-vl"), Frame.original((640, 480))).close()
        []
    """

    def __init__(
        self,
        dialect: Dialect,
        frame: Frame,
        regions: Regions | None = None,
        *,
        spelled: bool = True,
        rung: Rung | None = None,
    ) -> None:
        default: Rung = "json" if dialect.syntax.objects else "tokens"
        self._assembler = Assembler(dialect, frame, regions, rung or default)
        self._lexer: TagLexer | ObjectLexer
        if dialect.syntax.objects:
            self._lexer = ObjectLexer(dialect, self._assembler)
        else:
            self._lexer = TagLexer(dialect.syntax, self._assembler, spelled=spelled)
        self._triggers = self._lexer.triggers
        self._raw = 0
        self._quiet = True

    @property
    def cut(self) -> bool:
        """Whether JSON was cut off: what was read of it was saved from it."""
        return self._lexer.cut

    @property
    def labelled(self) -> bool:
        """Whether any JSON object had a label, even one without a place."""
        return isinstance(self._lexer, ObjectLexer) and self._lexer.labelled

    def feed(self, piece: str) -> list[Event]:
        """Take the next characters; gives what is certain now, in order."""
        if not piece:
            return []
        self._raw += len(piece)
        if self._quiet and not piece[-1].isspace():
            for trigger in self._triggers:
                if trigger in piece:
                    break
            else:
                self._assembler.shown.pass_over(piece, self._raw)
                self._lexer.pass_over(len(piece))
                return [piece]
        self._lexer.feed(piece)
        return self._found()

    def special(self, tag: str) -> list[Event]:
        """Take a special token, as its tag; gives what is certain now, in order."""
        self._raw += len(tag)
        self._lexer.special(tag)
        return self._found()

    def close(self) -> list[Event]:
        """The text ends here; gives the rest."""
        self._lexer.close()
        self._assembler.close(self._raw)
        return self._found()

    def _found(self) -> list[Event]:
        self._quiet = not self._lexer.holds and not self._assembler.busy
        return self._assembler.take()
