"""Sources: what there is to annotate, from a folder to an iterator of a program."""

from groundplane.annotation.sources.opening import open_source, source_of
from groundplane.annotation.sources.records import RecordReader
from groundplane.annotation.sources.source import Source, Tally

__all__ = ["RecordReader", "Source", "Tally", "open_source", "source_of"]
