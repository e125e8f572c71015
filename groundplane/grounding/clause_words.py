"""The words that clauses are read by: verbs, joints, and what makes a sentence claim nothing."""

from __future__ import annotations

__all__ = [
    "ADVERBS",
    "BE",
    "DENIED",
    "HEDGES",
    "JOINTS",
    "NEGATORS",
    "NEUTRAL",
    "POSTURES",
    "PRESENT",
    "PRONOUNS",
    "SEE",
    "SHOW",
]

BE = frozenset(
    {"are", "is", "was", "were"}
)  # fmt: skip
# What joins two clauses or two things; nothing is lost where it goes unread.
JOINTS = frozenset(
    {"\"", "(", ")", ",", "-", "additionally", "also", "and", "as", "but", "finally",
     "furthermore", "here", "however", "moreover", "of", "or", "then", "there", "where", "while",
     "with"}
)  # fmt: skip
SEE = frozenset(
    {"find", "notice", "observe", "see", "sees", "spot"}
)  # fmt: skip
# Behind the picture itself: `the photo shows`.
SHOW = frozenset(
    {"capture", "captures", "contain", "contains", "depict", "depicts", "display", "displays",
     "feature", "features", "has", "have", "include", "includes", "show", "shows"}
)  # fmt: skip
# Said of where a thing is; a posture says more than that, and it is listed as unread.
NEUTRAL = frozenset(
    {"found", "located", "placed", "positioned", "seen", "situated", "visible"}
)  # fmt: skip
POSTURES = frozenset(
    {"hang", "hanging", "hangs", "kneeling", "laying", "leaning", "lie", "lies", "lying",
     "mounted", "parked", "perched", "rest", "resting", "rests", "seated", "sit", "sits",
     "sitting", "sleeping", "stand", "standing", "stands"}
)  # fmt: skip
# Behind `is`: that the thing is there at all.
PRESENT = frozenset(
    {"depicted", "here", "present", "seen", "shown", "there", "visible"}
)  # fmt: skip
ADVERBS = frozenset(
    {"all", "already", "also", "being", "both", "clearly", "currently", "directly", "each",
     "fully", "just", "only", "partially", "partly", "quite", "really", "slightly", "still",
     "very", "well"}
)  # fmt: skip
# Where one of these is left over, what the sentence says was not understood, and the opposite may
# be meant.
NEGATORS = frozenset(
    {"barely", "cannot", "except", "fails", "hardly", "instead", "lack", "lacking", "lacks",
     "missing", "absent", "neither", "never", "no", "nobody", "none", "nor", "not", "nothing",
     "nowhere", "rarely", "rather", "scarcely", "unlike", "without"}
)  # fmt: skip
# A sentence with one of these claims nothing that could be wrong.
HEDGES = frozenset(
    {"appear", "appears", "believe", "could", "guess", "if", "likely", "may", "maybe", "might",
     "perhaps", "possibly", "probably", "seem", "seems", "should", "suggesting", "suggests",
     "think", "unless", "whether", "would", "like", "resembles", "resembling", "says", "said",
     "imagine", "pretend", "true", "false", "wrong", "fake", "almost"}
)  # fmt: skip
PRONOUNS = frozenset(
    {"he", "it", "she", "they"}
)  # fmt: skip
DENIED = frozenset(
    {"never", "not"}
)  # fmt: skip
