"""What a text is compared with: its recording in `tests/recordings`."""

from collections.abc import Callable

Recorded = Callable[[str, str], None]
"""The fixture `recorded`: compares a text with the recording of that name."""
