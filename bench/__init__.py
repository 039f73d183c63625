"""Measurements, each against something else in the same run; see README.md."""
