"""The report: the figures of a scope, each section in a file of its own; `_read.py` puts them together."""
