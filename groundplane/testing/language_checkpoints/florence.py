"""The tiny Florence-2 of the detector, as a language model."""

from groundplane.testing.checkpoints_florence2 import save_florence2

__all__ = ["SAVERS"]

SAVERS = {"florence2": save_florence2}
