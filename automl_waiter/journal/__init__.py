"""`--journal`: observed transitions and their deliveries, in a SQLite file that outlives the process.

A transition is committed before it is delivered, and a delivery is committed once its subscriber has acknowledged
it. If a process is killed in between, its delivery has no owner any more, and the next process makes it. Processes
may share a file: while one delivers a transition to a subscriber, no other process does.

The journal never ends a wait and never delays it for long. While the file cannot be used, transitions are
delivered unjournaled, and pending changes are kept in memory.
"""

from automl_waiter.journal.history import JobHistory, JournaledTransition, JournalError, read_history
from automl_waiter.journal.transaction import Entry, UnfinishedJob
from automl_waiter.journal.writing import Journal, subscriber_of

__all__ = [
    "Entry",
    "JobHistory",
    "Journal",
    "JournalError",
    "JournaledTransition",
    "UnfinishedJob",
    "read_history",
    "subscriber_of",
]
