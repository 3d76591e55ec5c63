"""Beginnings of new parts: files that work as they are written, for people to change."""
