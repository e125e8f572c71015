"""Models that only their providers run, such as Gemini, GPT, Claude and Qwen-VL-Max, by litellm.

litellm speaks each provider's own protocol; here its replies become those of a chat interface. How
a provider's model is asked for places is in `groundplane.language.providers`. Keys come from the
environment alone: none is an option, and none is left in an error or a trace.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.core.hub import need_library
from groundplane.core.plugin_source import is_installed
from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.grounding.dialects import dialect as dialect_of
from groundplane.language.chat.messages import fit_for
from groundplane.language.chat.session import ChatSession
from groundplane.language.chat.terms import ChatTerms, Ways
from groundplane.language.chat.transport import (
    Chat,
    ChatError,
    ChatErrorKind,
    Delta,
    ToolPart,
    Usage,
)
from groundplane.language.mark_answers import marks_format
from groundplane.language.providers import Provider, instruction_of, provider_of
from groundplane.language.routes import Route, check_route, routed

__all__ = ["LiteLlmLanguageModel", "LiteLlmOptions"]

_WHO = "language model 'litellm'"
# What the errors of litellm, by the names of their classes, mean for the next request.
_KINDS: Mapping[str, ChatErrorKind] = {
    "RateLimitError": "busy",
    "InternalServerError": "busy",
    "ServiceUnavailableError": "busy",
    "BadGatewayError": "busy",
    "APIConnectionError": "busy",
    "Timeout": "late",
    "ContextWindowExceededError": "full",
    "UnsupportedParamsError": "unsupported",
    "UnprocessableEntityError": "unsupported",
    "MidStreamFallbackError": "broken",
    "APIResponseValidationError": "broken",
}
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiteLlmOptions:
    """Options of `LiteLlmLanguageModel`.

    Attributes:
        model: The provider and its model, such as `gemini/gemini-2.5-pro`, `openai/gpt-4o`,
            `anthropic/claude-sonnet-4-5` or `dashscope/qwen-vl-max`.
        route: Who finds the places: `own`, `after`, `marks` or `none`; empty: what is best for
            the model.
        dialect: Of route `own`: how the model writes places; empty: as is known of it.
        max_tokens: Most tokens of an answer.
        temperature: How freely it chooses; None: as the provider has it.
        seed: For the same answer again, where the provider takes one; None: none.
        timeout: Seconds for a request with its retries.
        retries: How often a request is made again where the provider is busy.
        key_env: The environment variable that holds the key; empty: the provider's usual one.
        url: Another address of the interface than the provider's own, such as a proxy's.

    Raises:
        InputError: If a value is out of range, the route or the dialect is unknown, or the model
            has no way to write places of its own.
    """

    model: str
    route: str = ""
    dialect: str = ""
    max_tokens: int = 1024
    temperature: float | None = None
    seed: int | None = None
    timeout: float = 120.0
    retries: int = 3
    key_env: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        known = provider_of(self.model)
        for name, least, most in (
            ("max_tokens", 1, 1_000_000), ("timeout", 0.001, 86_400), ("retries", 0, 100),
        ):  # fmt: skip
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{_WHO}: option {name}: expected {least} to {most}, got {value}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise InputError(f"{_WHO}: option temperature: expected 0 to 2, got {self.temperature}")
        if self.route:
            check_route(self.route, who=_WHO)
        if self.dialect:
            dialect_of(self.dialect)  # refuses an unknown one, with those that are known
        if self.route == "own" and not (self.dialect or known.dialect not in ("", "gpt-4o")):
            raise InputError(
                f"{_WHO}: {self.model!r} has no known way to write places. Try: route 'marks' or "
                "'after', or name its dialect with --option dialect=NAME"
            )
        if self.url and not self.url.startswith(("http://", "https://")):
            raise InputError(f"{_WHO}: option url: expected http:// or https://, got {self.url!r}")


class LiteLlmLanguageModel:
    """A `language_models` plugin over the models that litellm reaches.

    Nothing is sent, and litellm is not imported, before the first question.

    Args:
        options: See `LiteLlmOptions`.
        device: Not used: nothing is computed here.
        dtype: Not used.

    Raises:
        InputError: If the variable of the key is not set.
        PluginBrokenError: If litellm is not installed.
    """

    Options = LiteLlmOptions

    def __init__(
        self, options: LiteLlmOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        del device, dtype
        if not is_installed("litellm"):
            raise PluginBrokenError(
                f"{_WHO} needs the library 'litellm', which is not installed. "
                "Try: pip install 'groundplane[litellm]'"
            )
        provider = provider_of(options.model)
        named = replace(options, dialect=options.dialect or provider.dialect)
        self.route: Route = check_route(options.route or provider.route, who=_WHO)
        chat = _LiteLlmChat(named, key=_key(options, provider))
        inner = _Asked(named, chat, route=self.route, provider=provider)
        self._model: LanguageModel = routed(inner, self.route, structured=provider.structured)

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        return self._model.open(prompts)


def _key(options: LiteLlmOptions, provider: Provider) -> str:
    """The key, from the environment.

    Raises:
        InputError: If the variable is not set, or holds what is no key.
    """
    name = options.key_env or provider.key_env
    key = os.environ.get(name, "").strip() if name else ""
    if not key and options.url and not options.key_env:
        return "none"  # a proxy of one's own may want none; litellm wants something
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        what = f"the environment variable {name!r}" if name else "an environment variable"
        wrong = "is set to something else" if key else "is not set"
        raise InputError(
            f"{_WHO}: expected the key of {options.model!r} in {what}, which {wrong}. Try: set it, "
            "or name another with --option key_env=NAME"
        )
    return key


class _Asked:
    """The model behind the routes: text in, and text or places of its own out."""

    def __init__(
        self, options: LiteLlmOptions, chat: Chat, *, route: Route, provider: Provider
    ) -> None:
        self._chat, self._options = chat, options
        self._structured = provider.structured and route == "marks"
        own = route == "own"
        spoken = dialect_of(options.dialect) if own else None
        notes: tuple[str, ...] = ()
        if own and not provider.native:
            notes = (f"places of {options.model} are its own and not relied on: verify them",)
        instruction = instruction_of(options.dialect) if own else ""
        self._ways = Ways(dialect=spoken, instruction=instruction, notes=notes)
        self._terms = ChatTerms(
            fit=fit_for(spoken),
            fields=_fields(options),
            max_tokens=options.max_tokens,
            retries=options.retries,
            deadline=options.timeout,
            list_regions=False,
        )

    def open(self, prompts: Sequence[Prompt]) -> ChatSession:
        """Begin a session: sequence i answers `prompts[i]`."""
        terms = self._terms
        drawn = [sum(len(table) for table in p.regions) for p in prompts]  # type: ignore[arg-type, misc]
        if self._structured and any(drawn):
            fields = {**terms.fields, "response_format": marks_format(max(drawn))}
            terms = replace(terms, fields=fields)
        return ChatSession(self._chat, prompts, terms=terms, ways=lambda: self._ways)


def _fields(options: LiteLlmOptions) -> dict[str, Any]:
    given = {"temperature": options.temperature, "seed": options.seed}
    return {name: value for name, value in given.items() if value is not None}


class _LiteLlmChat:
    """A `Chat` over `litellm.completion`."""

    def __init__(self, options: LiteLlmOptions, *, key: str) -> None:
        self._options, self._key = options, key

    def stream(self, request: Mapping[str, Any]) -> Iterator[Delta]:
        """Send a request and give its reply as it comes."""
        library, came, ended = _library(), False, False
        try:
            reply = library.completion(**self._arguments(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's own
            raise self._failure(error, came=False) from None  # its text may hold the key
        try:
            for piece in reply:
                delta = _delta_of(piece)
                if delta is None:
                    continue
                came = came or bool(delta.text or delta.calls)
                if not came and delta.finish == "stop":
                    continue  # it said nothing: so litellm reads a page that is no reply, too
                ended = ended or bool(delta.finish)
                yield delta
        except Exception as error:  # noqa: BLE001 - likewise
            raise self._failure(error, came=came) from None
        finally:
            _let_go(reply)
        if not ended:
            what = "broke off" if came else "is empty"
            raise ChatError(f"{self._options.model}: the reply {what}", kind="broken")

    def close(self) -> None:
        """Nothing is kept open between requests."""

    def _arguments(self, request: Mapping[str, Any]) -> dict[str, Any]:
        options = self._options
        given: dict[str, Any] = {
            **request,
            "model": options.model,
            "api_key": self._key,
            "stream": True,
            "stream_options": {"include_usage": True},
            "timeout": options.timeout,
            "num_retries": 0,
            "max_retries": 0,
            "no-log": True,
        }
        return given | ({"api_base": options.url} if options.url else {})

    def _failure(self, error: Exception, *, came: bool) -> ChatError:
        """An error of litellm as one of a chat interface, without the key."""
        # By the very class: those of refusals stand below the one of replies that break off.
        kind = _KINDS.get(type(error).__name__) or _kind_of(getattr(error, "status_code", None))
        if came and kind == "busy":
            kind = "broken"
        said = (
            " ".join(str(error).split()).replace(self._key, "***").partition(" Traceback (most")[0]
        )
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return ChatError(
            f"{self._options.model}: {type(error).__name__}: {said[:300]}",
            kind=kind,
            wait=_seconds(headers.get("retry-after", "")),
        )


def _kind_of(status: object) -> ChatErrorKind:
    if not isinstance(status, int):
        return "broken"
    return "busy" if status in (408, 429) or status >= 500 else "refused"


def _library() -> Any:
    """litellm, imported without a look at the network, telling nobody of what it is used for."""
    with _LOADING:
        if "litellm" in sys.modules:
            return sys.modules["litellm"]
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ.setdefault("LITELLM_LOG", "ERROR")
        library: Any = need_library("litellm", who=_WHO, extra="litellm")
        library.telemetry = False
        library.suppress_debug_info = True  # else it prints to the terminal where a request fails
        for name in ("callbacks", "success_callback", "failure_callback", "input_callback"):
            setattr(library, name, [])
        return library


def _delta_of(piece: Any) -> Delta | None:
    """What one piece of a reply brings; None where it brings nothing."""
    usage = getattr(piece, "usage", None)
    counted = None
    if usage is not None:
        counted = Usage(
            prompt=int(usage.prompt_tokens or 0), completion=int(usage.completion_tokens or 0)
        )
    choices = getattr(piece, "choices", None) or []
    if not choices:
        return Delta(usage=counted) if counted is not None else None
    said, finish = choices[0].delta, choices[0].finish_reason or ""
    text = getattr(said, "content", None) or getattr(said, "refusal", None) or ""
    calls = tuple(
        ToolPart(
            index=call.index or 0,
            id=call.id or "",
            name=call.function.name or "",
            arguments=call.function.arguments or "",
        )
        for call in getattr(said, "tool_calls", None) or ()
    )
    if not (text or finish or calls or counted):
        return None
    return Delta(text=text, calls=calls, finish=finish, usage=counted)


def _let_go(reply: Any) -> None:
    """Close the connection of a reply that is not read to its end."""
    close = getattr(getattr(reply, "completion_stream", None), "close", None)
    if callable(close):
        close()


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 3600.0)
    except ValueError:
        return 0.0
