"""Readable rules that say what some requests share: `country = BR and amount > 500`."""
