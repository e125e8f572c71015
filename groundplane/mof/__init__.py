"""A language model that sees with a mixture of features: its configuration, model and processor."""

from groundplane.core.hub import need_library

# The modules here import it at their top; without it the message says what to install.
need_library("transformers", who="a mixture of features", extra="mof")
