"""Language models behind a chat interface: served on a machine of one's own, or by a provider."""
