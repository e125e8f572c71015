"""Build a cognitive map from a video or from posed RGB-D."""
