"""Annotation jobs: from pictures and prompts to a log that is the truth, and back out of it."""
