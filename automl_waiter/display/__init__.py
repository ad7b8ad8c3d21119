"""A wait as it goes on, for somebody who watches: what is known by now, and its views on a terminal and in a notebook.

A view subscribes to the event stream like everything else; nothing that it does can change a wait.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_waiter._system.log import LOGGER

if TYPE_CHECKING:
    from automl_waiter.display.notebook import NotebookView

SWITCH = "AUTOML_WAITER_PROGRESS"
"""The environment variable that says how a wait is shown, where nothing else does."""


def is_notebook() -> bool:
    """Whether this runs in a notebook, and nobody has switched the view off."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if get_shell is None or os.environ.get(SWITCH, "auto") not in ("auto", "live"):
        return False
    # A terminal's IPython shows no HTML; the shell of a notebook has a kernel.
    return getattr(get_shell(), "kernel", None) is not None


def notebook_view(names: Iterable[str]) -> NotebookView | None:
    """A live view of jobs of these names, where there is to be one."""
    if not is_notebook():
        return None
    from automl_waiter.display.notebook import NotebookView

    try:
        return NotebookView(names)
    except Exception:
        LOGGER.exception("the wait cannot be shown here; it goes on")
        return None
