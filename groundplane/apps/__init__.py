"""Doors to the library: thin, no rule of the domain lives here."""
