"""Figures: every one printed beside its reference measured in the same run, none ever asserted in a test."""
