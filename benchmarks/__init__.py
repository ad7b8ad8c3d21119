"""How well the waiter waits, and what it costs: `python -m benchmarks`, with the extra `[bench]`."""

import sys
from pathlib import Path

# The fake service with a listing is the tests' support. Not as `tests.listing_service`: an installed package may be
# called `tests` too.
_SUPPORT = str(Path(__file__).parents[1] / "tests" / "support")
if _SUPPORT not in sys.path:
    sys.path.append(_SUPPORT)
