"""Test a new ML model on real production traffic, unseen by users, and decide with evidence."""

__version__ = "0.1.0"
