"""Value types, protocols, plugin host, media and orchestrator. Imports no sibling folder."""
