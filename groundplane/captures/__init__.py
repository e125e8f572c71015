"""Captures: videos, folders of frames and posed RGB-D in the layouts of public datasets."""
