"""The coordinator, its API and its console."""
