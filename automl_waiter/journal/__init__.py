"""`--journal`: observed transitions and their deliveries, in a SQLite file that outlives the process.

A transition is committed before it is delivered, and a delivery is committed once its subscriber has acknowledged
it. If a process is killed in between, its delivery has no living owner, and the next process makes it. Processes may
share a file: while one delivers a transition to a subscriber, no other process does.

A transition is a row, and rows are the order: no time of day decides what is new, what is due or which process is
alive. A subscriber gets all transitions of a job from the first one that was due to it, whoever observed them.

The journal never ends a wait and never delays it for long. If the file can no longer be used, transitions are
delivered unjournaled, and pending changes are kept in memory.
"""

from automl_waiter.journal.problems import JournalError
from automl_waiter.journal.reading import JobHistory, JournaledTransition, JournalReader
from automl_waiter.journal.transaction import Entry, Resumption, UnfinishedJob, WatchKey
from automl_waiter.journal.writing import Journal, subscriber_of

__all__ = [
    "Entry",
    "JobHistory",
    "Journal",
    "JournalError",
    "JournalReader",
    "JournaledTransition",
    "Resumption",
    "UnfinishedJob",
    "WatchKey",
    "subscriber_of",
]
