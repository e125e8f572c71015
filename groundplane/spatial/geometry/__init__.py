"""Exact geometry of boxes: gaps, shared volume, outlines, lines of sight."""
