"""The append-only log on the gateway: what was read, decided, written and published."""
