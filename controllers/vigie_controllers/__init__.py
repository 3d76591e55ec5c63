"""Pure control and safety: no I/O, no clock, no network."""
