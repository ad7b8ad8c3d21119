"""`--journal`: what was seen of jobs and to whom it was delivered, in a SQLite file that outlives the process.

A transition is committed before it is handed out, and a delivery once its subscriber has taken it. A process that is
killed in between leaves a delivery that nobody owns any more, and the next process makes it. Several processes may
share a file: while one of them delivers a transition to a subscriber, no other does.

The journal never ends a wait and never holds it up for long. While the file cannot be used, transitions are handed
out unjournaled, and what belongs into the file is kept in memory.
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
