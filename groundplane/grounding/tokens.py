"""The scanner fed with token ids instead of text.

A special token is known by its id, so a sign counts only where the model really wrote it: the same
characters, spelled by ordinary tokens, are text. A hostile picture or prompt that makes a model
repeat `<box>` cannot make a box.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.core.regions import Regions
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.grounding.scanner import Event, Scanner

__all__ = ["TokenScanner", "token_bytes"]


class TokenScanner:
    """Reads one text of one dialect, token by token.

    Args:
        dialect: The language of the text.
        frame: The frame that its numbers live in.
        vocabulary: What each ordinary token spells (`token_bytes` makes it of a tokenizer's own).
        special: The special tokens. One that is no sign of the dialect is not shown.
        regions: What indices pick from, in the order in which the model was given them.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> scanner = TokenScanner(dialect("qwen-vl"), Frame.original((640, 480)),
        ...     vocabulary={0: b"a dog", 1: b"(100,100),(500,500)", 2: b"<box>"},
        ...     special={7: "<ref>", 8: "</ref>", 9: "<box>", 10: "</box>"})
        >>> shown, mention = scanner.feed([7, 0, 8, 9, 1, 10]) + scanner.close()
        >>> shown, mention.phrase, mention.located.boxes.tolist()
        ('a dog', 'a dog', [[64.0, 48.0, 320.0, 240.0]])
        >>> scanner = TokenScanner(dialect("qwen-vl"), Frame.original((640, 480)),
        ...     vocabulary={2: b"<box>"}, special={})
        >>> scanner.feed([2]), scanner.feed([])
        (['<box>'], [])
    """

    def __init__(
        self,
        dialect: Dialect,
        frame: Frame,
        *,
        vocabulary: Mapping[int, bytes | str],
        special: Mapping[int, str],
        regions: Regions | None = None,
    ) -> None:
        spelled = not dialect.convention.tokens_are_special
        self._scanner = Scanner(dialect, frame, regions, spelled=spelled)
        self._vocabulary, self._special = vocabulary, special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: Iterable[int]) -> list[Event]:
        """Take the next tokens; gives what is certain now, in order.

        Raises:
            InputError: If an id is none of the vocabulary's and no special token's.
        """
        events: list[Event] = []
        for token in ids:
            tag = self._special.get(token)
            if tag is not None:
                events += self._rest()
                events += self._scanner.special(tag)
                continue
            piece = self._vocabulary.get(token)
            if piece is None:
                raise InputError(
                    f"token scanner: id {token} is none of the {len(self._vocabulary):,} tokens "
                    f"or {len(self._special):,} special tokens. Try: give the tokenizer's whole "
                    "vocabulary"
                )
            if isinstance(piece, bytes):
                # A character may be spread over several tokens: it waits for its last byte.
                piece = self._decoder.decode(piece)
            if piece:
                events += self._scanner.feed(piece)
        return events

    def close(self) -> list[Event]:
        """The text ends here; gives the rest."""
        return self._rest() + self._scanner.close()

    def _rest(self) -> list[Event]:
        """A character that was never finished."""
        held = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return self._scanner.feed(held) if held else []


def token_bytes(vocabulary: Mapping[str, int]) -> dict[int, bytes]:
    """What each token spells, of a tokenizer's own vocabulary.

    Args:
        vocabulary: Token to id, as `get_vocab()` of a tokenizer gives it: of byte-level BPE
            (`\u0120dog` for ` dog`) or of SentencePiece (`\u2581dog`, `<0xE7>`).

    Source: the byte alphabet of Radford et al., GPT-2, 2019; byte fallback of SentencePiece.

    Examples:
        >>> token_bytes({"\u0120dog": 1, "\u00e7": 2}), token_bytes({"\u2581dog": 1, "<0xE7>": 2})
        ({1: b' dog', 2: b'\\xe7'}, {1: b' dog', 2: b'\\xe7'})
        >>> token_bytes({})
        {}
    """
    if any("\u2581" in token for token in vocabulary):
        return {index: _sentence_piece(token) for token, index in vocabulary.items()}
    alphabet = _byte_alphabet()
    return {
        index: b"".join(alphabet.get(char, char.encode("utf-8", "replace")) for char in token)
        for token, index in vocabulary.items()
    }


def _sentence_piece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes([int(token[3:5], 16)])
        except ValueError:
            pass
    return token.replace("\u2581", " ").encode("utf-8", "replace")


def _byte_alphabet() -> dict[str, bytes]:
    """The character that stands for each byte: itself where it can be printed, else from 256 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    alphabet = {chr(byte): bytes([byte]) for byte in plain}
    return alphabet | {chr(256 + k): bytes([byte]) for k, byte in enumerate(others)}
