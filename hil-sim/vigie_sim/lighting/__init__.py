"""Streetlights, cabinets and their meters."""
