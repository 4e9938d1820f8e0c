"""When two predictions agree: one pair here, columns in `columns`, as SQL in `sql`."""

from shadowlane.comparators._comparator import Comparator, Outcome
from shadowlane.comparators._configured import configured
from shadowlane.comparators._ignored import IGNORED
from shadowlane.comparators._rules import DEFAULT_TOLERANCE

__all__ = ["DEFAULT_TOLERANCE", "IGNORED", "Comparator", "Outcome", "configured"]
