"""Text-only stories: stated relations, composed."""

from groundplane.spatial.stories.story import Story, UnreadSentence

__all__ = ["Story", "UnreadSentence"]
