"""Cleaning a Chinese question: options, units, politeness, small print of benchmarks."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import re

from groundplane.spatial.questions.chinese_phrases import ANYTHING
from groundplane.spatial.questions.chinese_words import UNITS, english_option

__all__ = ["core_of", "split_options", "strip_letter", "take_unit"]

_LETTER = re.compile(r"^\s*\(?[A-Za-z][.):、．：]\s*")
_MARK = re.compile(r"(?<![a-z0-9])\(?([a-h])[.):、]")
_NOTES = re.compile("135|笛卡尔|象限|直角坐标|多个房间|多个实例|合并|选项字母|直接回答|单个词")
_OPENINGS = re.compile(
    r"^(?:请问|请|麻烦(?:你|您)?|你好|您好|能否|能不能|可以|可否|你能|您能|帮我|帮忙|告诉我|说一下|看一下|"
    r"估计(?:一下)?|估算(?:一下)?|测量(?:一下)?|想知道|我想知道|那么|,|、)+(?=.{3})"
)
_CLOSINGS = re.compile(r"(?:[?!.,;:、]|吗|呢|呀|啊|吧|(?<![什怎多])么)+$")
_CLOSEST_POINT = re.compile(
    rf"^(?:如果)?(?:从|以|按照?|按|测量|依据)?(?:测量)?(?:每个|各个|各|两个|两|它们|这些)?{ANYTHING}?(?:之间)?(?:的)?"
    r"(?:相互)?最(?:近|接近|靠近)的?(?:一?点|处|位置|部位)(?:之间)?(?:开始|算起|起|为准|来)?(?:测量|计算|量起?|算起?|测)?"
    r"(?:的话)?,?"
)
_ANY_UNIT = "|".join(UNITS.values())
_UNIT = re.compile(
    rf"(?:,|[(])?(?:请)?(?:以|用|按|单位(?:是|为|:)?|答案?(?:以|用))(?P<a>{_ANY_UNIT})(?:为单位|作单位|作为单位|"
    rf"表示|回答|计算|计|来计算|作答)?(?:[)]|,)?|[(](?:单位:?)?(?P<b>{_ANY_UNIT})[)]|"
    rf"(?P<many>多少|几)(?:个)?(?P<c>{_ANY_UNIT})"
)


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Part the options behind a question from it, in English."""
    marks = list(_MARK.finditer(text))
    run = [mark for i, mark in enumerate(marks) if mark[1] == chr(ord("a") + i)]
    if len(run) < 2 or len(run) != len(marks):
        return text, ()
    ends = [*(mark.start() for mark in run[1:]), len(text)]
    parts = [text[m.end() : e].strip(" ,;.、()") for m, e in zip(run, ends, strict=True)]
    stem = re.sub(r"(?:选项|选择)?(?:是|有|为)?[:,]?$", "", text[: run[0].start()].strip())
    return (stem, tuple(map(english_option, parts))) if stem and all(parts) else (text, ())


def take_unit(text: str) -> tuple[str, str | None]:
    """Take the unit that is asked for out of a question: `多少米` is `多少`."""
    wanted: str | None = None

    def drop(found: re.Match[str]) -> str:
        nonlocal wanted
        said = found["a"] or found["b"] or found["c"]
        wanted = wanted or next(u for u, names in UNITS.items() if re.fullmatch(names, said))
        return found["many"] or ""

    text = _UNIT.sub(drop, text)
    return text, wanted


def core_of(text: str) -> str:
    """The question without politeness, marks at its ends and the small print of benchmarks."""
    text = re.sub(r"[(][^()]*[)]", lambda f: "" if _NOTES.search(f[0]) else f[0], text)
    parts = [part for part in re.split(r"(?<=[?.;!])", text) if part.strip()]
    kept = [part for part in parts if not _NOTES.search(part)]
    text = "".join(kept or parts)
    before = None
    while before != text:
        before = text
        text = _OPENINGS.sub("", _CLOSINGS.sub("", text.strip(" ,.:;")))
        text = _CLOSEST_POINT.sub("", text)
    return text


def strip_letter(choice: str) -> str:
    """An option without its letter: `A. 左边` is `左边`."""
    return _LETTER.sub("", choice)
