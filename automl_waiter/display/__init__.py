"""The live view of a wait: its progress, drawn on a terminal or in a notebook.

A view subscribes to the event stream like every other consumer, and cannot change the wait.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from automl_waiter._model.events import Event
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._system.log import log_problem

if TYPE_CHECKING:
    from automl_waiter.report.document import Document

SWITCH = "AUTOML_WAITER_PROGRESS"
"""The environment variable that selects the view, if nothing else does."""


def is_notebook() -> bool:
    """Return whether this is a notebook in which the view is not switched off."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if get_shell is None or os.environ.get(SWITCH, "auto") not in ("auto", "live"):
        return False
    # IPython in a terminal shows no HTML; the shell of a notebook has a kernel.
    return getattr(get_shell(), "kernel", None) is not None


@contextmanager
def notebook_view(names: Iterable[str]) -> Iterator[list[Callable[[Event], object]]]:
    """Show a live view of these jobs within the context, if this is a notebook; yield its subscribers."""
    subscribers: list[Callable[[Event], object]] = []
    with ExitStack() as stack:
        if is_notebook():
            from automl_waiter.display.notebook import NotebookView

            try:
                subscribers.append(stack.enter_context(closing(NotebookView(names))).take)
            except Exception as error:
                log_problem(logging.ERROR, "cannot show the progress of the wait; it continues", error)
        yield subscribers


def _document(shown: Outcome | Snapshot) -> Document:
    from automl_waiter.report.facts import outcome_document, snapshot_document

    return outcome_document(shown) if isinstance(shown, Outcome) else snapshot_document(shown)


def _repr_html(shown: Outcome | Snapshot) -> str:
    from automl_waiter.report.html import fragment

    return fragment(_document(shown))


def _repr_mimebundle(shown: Outcome | Snapshot, **_: object) -> dict[str, str]:
    """Return what IPython displays: HTML for a notebook, and the same as text for a terminal."""
    from automl_waiter.display.notebook import mimebundle, yield_to

    yield_to(shown)
    return mimebundle(_document(shown))


# How outcomes and snapshots are displayed: the model does not know. `_repr_html_` is for tools without IPython.
for _shown in (Outcome, Snapshot):
    setattr(_shown, "_repr_html_", _repr_html)  # noqa: B010 - an attribute that the class does not declare
    setattr(_shown, "_repr_mimebundle_", _repr_mimebundle)  # noqa: B010
