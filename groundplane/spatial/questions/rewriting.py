"""Turning the many orders of an English question into few: tags, inversions, pronouns, modals."""

from __future__ import annotations

import re

__all__ = ["MOVERS", "rewrite"]

# Who or what may be told to be so wide.
MOVERS = (
    r"(?:robot vacuum|vacuum robot|vacuum cleaner|wheelchair|robot|person|walker|cart|trolley|"
    r"stroller|pram|pushchair|box|crate|vehicle|drone|bed|man|woman|child)"
)
_LENGTH = r"(?:cm|mm|m|ft|feet|foot|in|inch|inches|met(?:er|re)s?|centimet(?:er|re)s?)"
_IS = r"(?:is|are|was|were)"
# Each rule is applied once, in order; later rules see what earlier ones made.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^(?:can|could|would|will) (?:you|u) (?:please |pls |kindly )?(?=(?:count|tally|list|name|"
     r"give|measure|say)\b)", ""),
    (r"^(?:would|do) you (?:say|think|agree)(?: that)? (.+?) (is|are) (.+)$", r"\2 \1 \3"),
    (r"^how far (?:is it |is the way |is the gap )?between (?:the )?(?:two )?(\w+s)$",
     r"how far apart are \1"),
    (rf"\ban? (\d+(?:\.\d+)? ?{_LENGTH}) wide ({MOVERS})\b", r"a \2 \1 wide"),
    (r"^are (?!all\b)(.+?) all ", r"are all \1 "),
    (r"^do (?!all\b)(.+?) all (?=face|touch|stand|lie)", r"do all \1 "),
    (r"^(how many|which) (.+?) (?:do|does) not face\b", r"\1 \2 are not facing"),
    (r"^(how many|which) (.+?) (?:do|does) not touch\b", r"\1 \2 are not touching"),
    (r"^is it (on|in|under|near|next to|behind|beside) (.+?) that (.+?) (?:stands?|is|are|lies?|sits?)$",
     r"is \3 \1 \2"),
    (r"^(does|do) (.+?) look (?:at|towards?) (.+)$", r"\1 \2 face \3"),
    (r"^where (?:exactly )?(is|are) (.+?)[:,] (left or right .+)$", r"\1 \2 \3"),
    (r"^how many [\w ]+, (?:i\.? ?e\.?|that is|namely|meaning),? ([\w ]+), ", r"how many \1 "),
    (r"^(is|are) not (the|my|our) ", r"\1 \2 "),
    (r"^(is|are) not there ", r"\1 there "),
    (r"^((?:on|under|underneath|below|above|behind|near|beside|next to|inside|in front of) .+?),? "
     r"what (?:is|are|do (?:you|i) see)(?: there)?$", r"what is \1"),
    (r"^(on|in) what (?:does|do|is|are) (.+?) (stand|lie|sit|rest|standing|lying|sitting)$",
     r"what does \2 stand \1"),
    (r"^what (?:have|has|did) (?:they|you|somebody|someone|he|she|people) (?:put|placed|got|left|"
     r"set) ((?:on|in|under|below|above|behind|near|beside|next) .+)$", r"what is \1"),
    # `the tv is on the table, is not it` and `there is not a guitar here, is there`
    (rf"^there {_IS} (?:not |no )?(.+?), {_IS} (?:not )?there(?: not)?$", r"is there \1"),
    (rf"^(.+?) (is|are) (?:not )?(.+?), (?:{_IS}|do|does) (?:not )?(?:it|they|he|she)(?: not)?$",
     r"\2 \1 \3"),
    (r"^(?!(?:how|what|which|who|where|is|are|there|on|in)\b)(.+?) (is|are) (.+?), (?:right|correct|yes|no)$",
     r"\2 \1 \3"),
    (r"^(.+?), (?:right|correct|yes|no|or not|true or false|true|yes or no|isn t it)$", r"\1"),
    (r"^(?:is it (?:true|correct|right|the case) that|true or false:?) (.+?) (is|are) (.+)$",
     r"\2 \1 \3"),
    # `where would the table be`, `would the table be on my left`
    (r"^(.*?\b(?:where|which side|what side|which direction|which way)) (?:would|will|should|might) (.+?) be\b(.*)$",
     r"\1 is \2\3"),
    (r"^(?:would|will|should|might|could) (.+?) be (.+)$", r"is \1 \2"),
    # `there are how many pillows`, `the room is how big`, `the bed is on which side`
    (rf"^there {_IS} how many (.+)$", r"how many \1 are there"),
    (rf"^(.+?) ({_IS}) how (far|close|near)((?: away)? (?:from|to) .+)$", r"how \3 \2 \1\4"),
    (rf"^(.+?) and (.+?) ({_IS}) how far apart$", r"how far apart are \1 and \2"),
    (rf"^(.+?) ({_IS}) how (\w+)$", r"how \3 \2 \1"),
    (rf"^(.+?) ({_IS}) ((?:on|to|in|at) (?:which|what) (?:side|direction|hand))$", r"\3 \2 \1"),
    (rf"^(.+?) ({_IS}) (where|which side|which way)$", r"\3 \2 \1"),
    # `a to b, how far`, `a and b: how far apart`
    (r"^(?:from )?(.+?) to (.+?)[,:;-]+ ?how far(?: is (?:it|that))?(?: apart)?$",
     r"how far is \1 from \2"),
    (r"^(.+?) and (.+?)[,:;-]+ ?how far(?: apart| away)?(?: are they)?(?: from each other)?$",
     r"how far apart are \1 and \2"),
    (r"^(.+?) and (.+?)[,:;-]+ ?(?:what is )?the (?:distance|gap) (?:between them|apart)$",
     r"distance between \1 and \2"),
    # `anything under the bed`, `got any washers`
    (r"^(?:got|have) (?:any|a|an) (.+)$", r"is there a \1"),
    (r"^(?:is |are )?(anything|something|any \w+) (?:standing |lying |sitting |placed )?((?:on|in|under|underneath|below|above|near|next|"
     r"behind|beside|between|within) .+)$", r"is there \1 \2"),
    (r"^(?:name|list|tell|show)?(?: me)? ?(?:whatever|whatever it is that|everything that|all that|what) (is|lies|stands) (.+)$",
     r"what is \2"),
    (r"^(?:name|list|show)(?: me)? everything ((?:taller|longer|wider|bigger|larger|smaller|shorter|on|in|under|underneath|below|above|near|next|"
     r"behind|beside|between|within|to|at|around|left|right) .+)$", r"what is \1"),
    (r"^(?:find|locate|show)(?: me)? (the .+)$", r"where is \1"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), form) for pattern, form in _RULES)
_FILLERS = (
    (r"^(?!(?:got|have|has|what|which|who|how|where|is|are|can|do|does|list|name|count|everything|anything|all|any)\b)"
     r"([a-z ]+?) in here$", r"is there a \1"),
    (r"\b(?:in|on|of) (?:the|this) (?:picture|image|photo|photograph|shot|scene|video)\b", " "),
    (r"\b(?:anywhere|over here|for me|from here|in here|exactly|roughly|approximately|about|"
     r"actually|really|please|overall|in total|all in all|at all|ever|"
     r"of (?:the|those|these) (?:two|three|four))\b", " "),
    (r"\b(?:over|back|across|all the way) (to|from)\b", r"\1"),
    (r"\bof the following(?: objects| things| items)?\b", "of these"),
    (r"\bin (?:height|size|length|width|volume)\b(?! of| between)", " "),
)  # fmt: skip
_TOPIC = re.compile(
    r"^(?P<topic>[^,:;]+?)(?: ?[,:;]+ ?| ?--? )(?P<rest>(?:how|what|where|which|is|are|does|do|on|in)\b.*)$"
)
_PRONOUN = re.compile(r"\b(?:it|they|them|that one|this)\b")


def rewrite(text: str) -> str:
    """Bring a cleaned question into the order that the forms expect.

    Examples:
        >>> rewrite("the sofa nearest the door, how long is it")
        'how long is the sofa nearest the door'
        >>> rewrite("the keyboard is on the table, is not it")
        'is the keyboard on the table'
        >>> rewrite("sofa to bookshelf, how far")
        'how far is sofa from bookshelf'
    """
    for pattern, plain in _FILLERS:
        text = re.sub(pattern, plain, text)
    text = re.sub(r"\s*,(?:\s*,)+", ",", " ".join(text.split()))
    text = re.sub(r"\s+,", ",", text).strip(" ,;:-")
    for rule, form in _COMPILED:
        changed = rule.sub(form, text)
        if changed != text:
            text = changed
    topic = _TOPIC.match(text)
    if topic and len(_PRONOUN.findall(topic["rest"])) == 1:
        name = topic["topic"]
        text = _PRONOUN.sub(lambda _: name, topic["rest"])
    return " ".join(text.split())
