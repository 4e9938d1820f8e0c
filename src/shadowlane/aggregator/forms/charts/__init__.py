"""The report's pictures: inline SVG, coloured by the page's style sheet, readable without any script.

Each text in them is escaped by the shapes of `_svg`; each is bounded in size, whatever the data.
"""

from shadowlane.aggregator.forms.charts._frame import Picture
from shadowlane.aggregator.forms.charts._of_section import pictures
from shadowlane.aggregator.forms.charts._small import gauge, key

__all__ = ["Picture", "gauge", "key", "pictures"]
