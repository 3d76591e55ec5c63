"""The Sparkplug host: session, fleet in memory, ingest into the history, acknowledgements."""
