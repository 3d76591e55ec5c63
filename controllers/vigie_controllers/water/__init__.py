"""Pump stations and storage basins: words, guard, level control."""
