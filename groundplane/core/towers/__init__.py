"""Towers: the networks of encoders, with one interface whatever library they come from."""
