"""The agent on a gateway."""
