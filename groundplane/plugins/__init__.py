"""Plugins that ship with groundplane: one file a model family or format."""
