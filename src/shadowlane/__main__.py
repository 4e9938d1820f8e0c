"""`python -m shadowlane`."""

from shadowlane.cli import main

main()
