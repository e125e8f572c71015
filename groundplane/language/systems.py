"""The systems that groundplane works with, and how each is run: the table behind docs/models.md.

Each row has a test of its own, which makes a grounded answer in the way that the row says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groundplane.language.routes import Route

__all__ = ["SYSTEMS", "System", "models_table"]

Plugin = Literal["transformers", "openai-server", "litellm"]
_TEST = "tests/language/test_systems.py::test_a_grounded_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system and how it is run.

    Attributes:
        name: As people call it.
        plugin: What runs it.
        model: `model_type` of its configuration where it runs in this process, the provider's
            name of it where it is asked through litellm, else empty.
        dialect: How it writes places; empty: it has no way of its own.
        route: Who finds the places.
        note: What is particular about it.
    """

    name: str
    plugin: Plugin
    model: str = ""
    dialect: str = ""
    route: Route = "own"
    note: str = ""

    @property
    def slug(self) -> str:
        """The name in small letters without blanks."""
        return self.name.lower().replace(" ", "-")

    @property
    def run(self) -> str:
        """The plugin with the options that the system needs."""
        given = {"weights": "FOLDER"} if self.plugin == "transformers" else {}
        given |= {"model": self.model} if self.plugin == "litellm" else {}
        given |= {"url": "URL"} if self.plugin == "openai-server" else {}
        # litellm and transformers know by themselves what is best for a model.
        if self.plugin == "openai-server":
            given |= {"dialect": self.dialect} if self.dialect and self.route == "own" else {}
            given |= {"route": self.route} if self.route != "own" else {}
        elif self.dialect == "llava-grounding":
            given["dialect"] = self.dialect
        return " ".join([f"`{self.plugin}`", *(f"`{k}={v}`" for k, v in given.items())])

    @property
    def test(self) -> str:
        """The test that makes a grounded answer with it."""
        return f"{_TEST}[{self.slug}]"


def _here(
    name: str, model: str, dialect: str = "", *, route: Route = "after", note: str = ""
) -> System:
    return System(
        name=name,
        plugin="transformers",
        model=model,
        dialect=dialect,
        route="own" if dialect else route,
        note=note,
    )


def _served(name: str, dialect: str = "", *, route: Route = "own", note: str = "") -> System:
    return System(name=name, plugin="openai-server", dialect=dialect, route=route, note=note)


def _provided(
    name: str, model: str, dialect: str, *, route: Route = "own", note: str = ""
) -> System:
    return System(name=name, plugin="litellm", model=model, dialect=dialect, route=route, note=note)


_ELSEWHERE = "not in transformers: run behind a server of one's own"
SYSTEMS: tuple[System, ...] = (
    _here("LLaVA", "llava", "llava-1.5", note="as LLaVA-1.5, with one linear projector"),
    _here("LLaVA-1.5", "llava", "llava-1.5", note="places are shares of the padded square"),
    _here("LLaVA-NeXT", "llava_next"),
    _here("LLaVA-OneVision", "llava_onevision"),
    _here("ViP-LLaVA", "vipllava"),
    _here("BLIP-2", "blip-2", note="32 tokens a picture hold no places"),
    _here("InstructBLIP", "instructblip", note="its features depend on the question"),
    _served("MiniGPT-4", route="after", note=_ELSEWHERE),
    _served("MiniGPT-v2", "minigpt-v2", note=_ELSEWHERE),
    _served("Qwen-VL", "qwen-vl", note=f"thousandths, in tags; {_ELSEWHERE}"),
    _here("Qwen2-VL", "qwen2_vl", "qwen2-vl", note="thousandths, in special tokens"),
    _here("Qwen2.5-VL", "qwen2_5_vl", "qwen2.5-vl", note="pixels of the picture on a grid of 28"),
    _here("Qwen3-VL", "qwen3_vl", "qwen3-vl", note="thousandths, in JSON"),
    _provided("Qwen-VL-Max", "dashscope/qwen-vl-max", "qwen2.5-vl", note="sent on the grid of 28"),
    _served("VILA", route="after", note=f"{_ELSEWHERE}; no published way to write places"),
    _provided("Gemini", "gemini/gemini-2.5-pro", "gemini", note="thousandths, y first"),
    _provided("GPT-4V", "openai/gpt-4-turbo", "gpt-4o", route="marks"),
    _provided("GPT-4o", "openai/gpt-4o", "gpt-4o", route="marks", note="held to drawn numbers"),
    _provided(
        "Claude 3", "anthropic/claude-3-opus-20240229", "gpt-4o", route="marks",
        note="pixel boxes of its own only on request (route `own`), and not relied on",
    ),
    _provided("Claude", "anthropic/claude-sonnet-4-5", "claude", note="pixels"),
    _here("Janus", "janus", note="the understanding path; its generation head is not used"),
    _served("Shikra", "shikra", note=f"shares of the padded square; {_ELSEWHERE}"),
    _served("Groma", "groma", note="picks from `Prompt.regions`, which an expert proposed"),
    _here("LLaVA-Grounding", "llava", "llava-grounding", note="`<seg>` to `embedding-head`"),
    _served("Mono-InternVL", "internvl", note=f"as InternVL; {_ELSEWHERE}"),
    _here("InternVL", "internvl", "internvl", note="thousandths, in tags"),
    _here("GLM-4.1V", "glm4v", "glm-4.5v", note="thousandths"),
    _served("GLM-4.5V", "glm-4.5v"),
    _here("Molmo2", "molmo2", "molmo2", note="points, thousandths"),
    _here("DeepSeek-VL", "deepseek_vl"),
    _served("DeepSeek-VL2", "deepseek-vl2", note=_ELSEWHERE),
    _served("CogVLM", "cogvlm", note=_ELSEWHERE),
    _served("Ferret", "ferret", note=_ELSEWHERE),
    _here("PaliGemma", "paligemma", "paligemma", note="1,024 bins, y first"),
    _here("Kosmos-2", "kosmos-2", "kosmos-2", note="a grid of 32 by 32"),
    _here("Florence-2", "florence2", "florence-2", note="1,000 bins"),
    _here("Idefics2", "idefics2"),
    _here("Idefics3", "idefics3"),
    _here("SmolVLM", "smolvlm", note="its processor needs num2words"),
)  # fmt: skip


def models_table(systems: Sequence[System] = SYSTEMS) -> str:
    """The table of docs/models.md.

    Examples:
        >>> print(models_table(SYSTEMS[:1]).splitlines()[2][:46])
        | LLaVA | `transformers` `weights=FOLDER` | `l
        >>> len(models_table([]).splitlines())
        2
    """
    rows = ["| system | run with | dialect | route | note | test |", "|---|---|---|---|---|---|"]
    for one in systems:
        dialect = f"`{one.dialect}`" if one.dialect else "none"
        cells = (one.name, one.run, dialect, f"`{one.route}`", one.note, f"`{one.test}`")
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(rows)
