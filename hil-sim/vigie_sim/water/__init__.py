"""Pump stations and basins on SWMM."""
