"""`--journal`: what a killed and restarted wait still knows, and how it handles unusable files."""

import errno
import functools
import io
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from environments import clean_environment
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import launch

from automl_waiter._model.errors import AutoMLWaiterError, JobNotFound
from automl_waiter._model.exit_codes import ExitCode
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.snapshot import Snapshot
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition
from automl_waiter._model.verdicts import Verdict
from automl_waiter._system.file_lock import FileLock
from automl_waiter.cli.history import print_history
from automl_waiter.journal import (
    Entry,
    JobHistory,
    Journal,
    JournalError,
    JournalReader,
    Resumption,
    UnfinishedJob,
    WatchKey,
    subscriber_of,
    writing,
)
from automl_waiter.testing import Timeline

EVERYTHING = WatchKey("eu-west-1", "")
START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PHASES = ["Starting", "AnalyzingData", "FeatureEngineering", "ModelTuning", "GeneratingExplainabilityReport"]


def arn_of(job: str = "churn", region: str = "eu-west-1") -> str:
    return f"arn:aws:sagemaker:{region}:123456789012:automl-job/{job}"


def seen(number: int, secondary: str | None = None, *, job: str = "churn", status: str = "InProgress") -> Transition:
    """Return the first observation of a job in phase `number`; each phase lasts an hour."""
    state = State(status, secondary or f"Phase{number}")
    return Transition(job, arn_of(job), None, state, START + timedelta(hours=number), None)


END = seen(9, "Completed", status="Completed")


class Clock:
    """A clock that advances only when a test sets it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Open(Journal):
    """A journal that collects its warnings and has a manual clock."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.warnings: list[str] = []
        self.clock = Clock()
        super().__init__(path, warn=self.warnings.append, clock=self.clock, **options)

    def see(self, *transitions: Transition, to: Collection[str] = ("stdout",)) -> list[tuple[str, set[str]]]:
        return handed_out([entry for transition in transitions for entry in self.record(transition, to)])

    def deliver(self, *transitions: Transition, to: Collection[str] = ("stdout",)) -> list[str]:
        """Acknowledge what is handed out, and return its phases."""
        taken = [entry for transition in transitions for entry in self.record(transition, to)]
        for entry in taken:
            for subscriber in entry.subscribers:
                self.acknowledge(entry, subscriber)
        return [entry.transition.after.secondary_status for entry in taken]


def handed_out(entries: list[Entry]) -> list[tuple[str, set[str]]]:
    return [(entry.transition.after.secondary_status, set(entry.subscribers)) for entry in entries]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.journal"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Open]]:
    """Opens journals of one file, and closes them at the end."""
    all_opened: list[Open] = []

    def open_journal(**options: Any) -> Open:
        all_opened.append(Open(path, **options))
        all_opened[-1].open()
        return all_opened[-1]

    yield open_journal
    for each in all_opened:
        each.close()


def read_history(path: Path, jobs: Collection[str] = ()) -> list[JobHistory]:
    with closing(JournalReader(path)) as journal:
        return list(journal.jobs(jobs))


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def journaled(path: Path, job: str = "churn") -> list[str]:
    [history] = read_history(path, [job])
    return [item.transition.after.secondary_status for item in history.transitions]


def pending(path: Path) -> list[tuple[str, str]]:
    return [
        (item.transition.after.secondary_status, delivery.subscriber)
        for history in read_history(path)
        for item in history.transitions
        for delivery in item.deliveries
        if delivery.state == "pending"
    ]


PUPPET = """
import json, os, resource, signal, sys
from datetime import UTC, datetime, timedelta
from automl_waiter.journal import Journal
from automl_waiter._model.statuses import State
from automl_waiter._model.tracker import Transition

warnings = []
journal = Journal(sys.argv[1], warn=warnings.append, clock=lambda: seconds)
journal.open()
seconds = 0.0
taken = []

def see(number, subscriber="stdout", job="churn"):
    arn = f"arn:aws:sagemaker:eu-west-1:123456789012:automl-job/{job}"
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC) + timedelta(hours=number)
    new = journal.record(Transition(job, arn, None, State("InProgress", f"Phase{number}"), at, None), [subscriber])
    taken.extend((entry, subscriber) for entry in new)
    return [entry.transition.after.secondary_status for entry in new]

def acknowledge():
    while taken:
        journal.acknowledge(*taken.pop(0))

def deliver(number, subscriber="stdout", job="churn"):
    new = see(number, subscriber, job)
    acknowledge()
    return new

for line in sys.stdin:
    try:
        result = eval(line)
    except SyntaxError:
        result = exec(line)
    print(json.dumps(result), flush=True)
"""


class Puppet:
    """Another process with the journal open, which runs the lines it gets."""

    def __init__(self, path: Path) -> None:
        words = [sys.executable, "-c", PUPPET, str(path)]
        self.process = launch(words, env=clean_environment(), stdin=subprocess.PIPE, stderr=None)

    def begin(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def do(self, line: str) -> Any:
        self.begin(line)
        return self.result()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def puppet(path: Path) -> Iterator[Callable[[], Puppet]]:
    """Starts processes, and ends them."""
    started: list[Puppet] = []

    def start() -> Puppet:
        started.append(Puppet(path))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.process.communicate()


# What is journaled


def test_journal_files_have_mode_0600(path: Path, opened: Callable[..., Open]) -> None:
    """The file, SQLite's files and the lock file have mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        opened().see(seen(0))
    finally:
        os.umask(before)
    modes = {file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert (modes, len(list(path.parent.iterdir()))) == ({0o600}, 4)


def test_existing_file_keeps_its_mode(path: Path, opened: Callable[..., Open]) -> None:
    """An empty file becomes a journal and keeps its mode."""
    path.touch()
    path.chmod(0o640)
    opened().see(seen(0))
    assert path.stat().st_mode & 0o777 == 0o640
    assert journaled(path) == ["Phase0"]


def test_file_has_schema_version_and_application_id(path: Path, opened: Callable[..., Open]) -> None:
    """The file uses a write-ahead log, which readers do not block."""
    opened().see(seen(0))
    assert query(path, "PRAGMA user_version") == [(2,)]
    assert query(path, "PRAGMA application_id") == [(int.from_bytes(b"amlw"),)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


def test_unused_journal_creates_no_file(path: Path) -> None:
    """Closing an unused journal leaves nothing behind."""
    Open(path).close()
    assert list(path.parent.iterdir()) == []


def test_a_transition_is_handed_out_once(opened: Callable[..., Open]) -> None:
    """Every subscriber gets it at once; recording it again hands out nothing, acknowledged or not."""
    journal = opened()
    assert journal.see(seen(0), to=["stdout", "hook"]) == [("Phase0", {"stdout", "hook"})]
    assert journal.see(seen(0), to=["stdout", "hook"]) == []
    [entry] = journal.record(seen(1), ["stdout", "hook"])
    journal.acknowledge(entry, "hook")
    assert journal.see(seen(1), to=["stdout", "hook"]) == []


def test_change_starts_from_the_state_of_an_earlier_process(opened: Callable[..., Open]) -> None:
    """A first observation becomes a change from the journal's last state, bounded by the times of both polls."""
    first = opened()
    first.deliver(seen(0))
    first.close()
    second = opened()
    assert second.record(seen(0), ["stdout"]) == []
    [entry] = second.record(seen(1), ["stdout"])
    assert entry.transition.before == State("InProgress", "Phase0")
    assert (entry.transition.not_before, entry.transition.observed_at) == (START, START + timedelta(hours=1))


def test_later_previous_poll_bounds_a_change(opened: Callable[..., Open]) -> None:
    """If this process polled after the journal's last transition, its own poll is the lower bound."""
    journal = opened()
    journal.see(seen(0))
    for number, polled, bound in ((1, 50, 50), (2, -5, 60)):
        change = replace(seen(number), not_before=START + timedelta(minutes=polled))
        [entry] = journal.record(change, ["stdout"])
        assert entry.transition.not_before == START + timedelta(minutes=bound)


@pytest.mark.parametrize("step", [timedelta(seconds=-5), timedelta(days=-1), timedelta(0)])
def test_order_does_not_depend_on_the_wall_clock(path: Path, opened: Callable[..., Open], step: timedelta) -> None:
    """A later observation is journaled later, whatever the wall clock says, also after a restart."""
    now = [START]
    for process in range(2):
        journal = opened(now=lambda: now[0])
        for phase in (f"A{process}", f"B{process}"):
            now[0] += step
            assert journal.deliver(replace(seen(0, phase), observed_at=now[0])) == [phase]
        journal.close()
    times = [(each.transition.not_before, each.transition.observed_at) for each in read_history(path)[0].transitions]
    assert all(not_before is None or not_before <= observed_at for not_before, observed_at in times)


def test_the_wall_clocks_of_two_processes_may_differ(path: Path, opened: Callable[..., Open]) -> None:
    """A process whose clock is a day behind still records new transitions."""
    one, other = opened(), opened()
    behind = timedelta(days=1)
    assert other.deliver(seen(0, "A"), to=["other"]) == ["A"]
    for number, phase in enumerate("BCD", 1):
        assert one.deliver(replace(seen(number, phase), observed_at=START - behind))[-1:] == [phase]
        assert other.deliver(seen(number, phase * 2), to=["other"])[-1:] == [phase * 2]
    assert journaled(path) == ["A", "B", "BB", "C", "CC", "D", "DD"]


def test_outdated_observation_of_a_slow_process_is_dropped(path: Path, opened: Callable[..., Open]) -> None:
    """A state that the job can only have had earlier is not journaled after its successor."""
    slow, other = opened(), opened()
    other.deliver(seen(0, "ModelTuning"), to=["other"])
    assert slow.see(seen(1, "AnalyzingData")) == [("ModelTuning", {"stdout"})]
    assert slow.see(seen(2, "ModelTuning")) == []
    assert journaled(path) == ["ModelTuning"]


def test_job_that_goes_back_between_two_processes_is_journaled(path: Path, opened: Callable[..., Open]) -> None:
    """What a process observes after it opened the journal is newer than everything in it."""
    opened().deliver(seen(0, "ModelTuning"))
    assert opened().deliver(seen(1, "AnalyzingData")) == ["AnalyzingData"]
    assert opened().deliver(seen(2, "ModelTuning")) == ["ModelTuning"]
    assert [each.transition.repeat for each in read_history(path)[0].transitions] == [0, 0, 1]


def test_a_transition_keeps_its_id(path: Path, opened: Callable[..., Open]) -> None:
    """A transition has the same id at each delivery, in any process, and no other transition has it."""
    first = opened()
    [one], [two] = first.record(seen(0, "A"), ["stdout"]), first.record(seen(1, "B"), ["stdout"])
    first.close()
    again = opened().record(seen(2, "A"), ["stdout"])
    assert [entry.transition.id for entry in again[:2]] == [one.transition.id, two.transition.id]
    assert len({entry.transition.id for entry in again}) == 3
    assert seen(5, "A").id == one.transition.id, "without a journal too"


def test_terminal_status_is_final(path: Path, opened: Callable[..., Open]) -> None:
    """Nothing follows a terminal status, whatever is observed later."""
    journal = opened()
    assert journal.deliver(seen(0), END, seen(10), seen(11, "Failed", status="Failed")) == ["Phase0", "Completed"]
    assert journaled(path) == ["Phase0", "Completed"]


def test_repeated_state_is_a_new_transition(path: Path, opened: Callable[..., Open]) -> None:
    """A state that returns after another one is a transition like any other."""
    assert opened().deliver(seen(0, "A"), seen(1, "B"), seen(2, "A")) == ["A", "B", "A"]
    assert journaled(path) == ["A", "B", "A"]


def test_job_is_identified_by_its_arn_in_any_case(path: Path, opened: Callable[..., Open]) -> None:
    """AWS lower-cases ARNs arbitrarily; the same name in another region is another job."""
    journal = opened()
    change = seen(0)
    assert journal.deliver(change) == ["Phase0"]
    assert journal.deliver(replace(change, job_arn=change.job_arn.upper())) == []
    elsewhere = replace(change, job_arn=arn_of(region="us-east-1"))
    assert journal.deliver(elsewhere) == ["Phase0"]
    assert len(read_history(path, ["churn"])) == 2


def test_new_subscriber_gets_only_the_current_state(opened: Callable[..., Open]) -> None:
    """The journal does not replay its history to a new subscriber."""
    journal = opened()
    journal.deliver(seen(0), seen(1))
    assert journal.see(seen(1), to=["stdout", "hook"]) == [("Phase1", {"hook"})]


def test_unencodable_text_is_journaled(path: Path, opened: Callable[..., Open]) -> None:
    """Half a surrogate pair in a status is escaped, and the transition is handed out once."""
    journal = opened()
    odd = seen(0, "\ud800")
    assert journal.deliver(odd, odd) == ["\\ud800"]
    assert (journal.warnings, journaled(path)) == ([], ["\\ud800"])


def test_a_command_subscribes_without_its_secrets() -> None:
    """The subscriber's name has the program's name and a digest of all words, which reveals nothing."""
    name = subscriber_of(["/opt/notify.sh", "--token", "hunter2"])
    assert name.startswith("notify.sh ")
    assert len(name.split()[-1]) == 12
    assert "hunter2" not in name
    assert name == subscriber_of(("/opt/notify.sh", "--token", "hunter2"))
    assert name != subscriber_of(["/opt/notify.sh", "--token", "hunter3"])
    assert name != subscriber_of(["/opt/notify.sh", "--token hunter2"])


# Restarts


@pytest.mark.parametrize(
    ("last_words", "is_delivered_again"),
    [("see(1)", True), ("print(json.dumps(see(1)))", True), ("deliver(1)", False)],
    ids=["before the delivery", "before the acknowledgement", "after it"],
)
def test_a_killed_process_loses_nothing(
    path: Path, opened: Callable[..., Open], puppet: Callable[[], Puppet], last_words: str, is_delivered_again: bool
) -> None:
    """The next process delivers what was not acknowledged, in order, before its own observations, and nothing else."""
    first = puppet()
    assert first.do("deliver(0)") == ["Phase0"]
    first.begin(f"{last_words}; os.kill(os.getpid(), signal.SIGKILL)")
    assert first.process.wait() == -signal.SIGKILL
    assert opened().deliver(seen(2)) == (["Phase1"] if is_delivered_again else []) + ["Phase2"]
    assert (journaled(path), pending(path)) == (["Phase0", "Phase1", "Phase2"], [])


def test_zombie_process_counts_as_dead(path: Path, opened: Callable[..., Open], puppet: Callable[[], Puppet]) -> None:
    """Its deliveries are taken over; in a container a killed process often remains a zombie."""
    first = puppet()
    first.do("see(0)")
    journal = opened()
    assert journal.see(seen(0)) == [], "while it lives, they are its own"
    first.process.kill()
    deadline = time.monotonic() + 10
    while not (handed := journal.see(seen(0))):
        assert time.monotonic() < deadline
    assert handed == [("Phase0", {"stdout"})]


def test_processes_are_identified_by_their_locks(path: Path, opened: Callable[..., Open]) -> None:
    """Two containers may share host name, boot id and process id, so a held lock shows that its owner lives."""
    first, second = opened(), opened()
    first.see(seen(0))
    assert second.see(seen(0)) == []
    [(owner,)] = query(path, "SELECT owner FROM delivery")
    assert Path(f"{path}-{owner}.lock").exists()
    os.close(first._owner_lock._descriptor)  # type: ignore[union-attr, arg-type] # as the kernel does at its death
    first._owner_lock._descriptor = None  # type: ignore[union-attr]
    assert second.see(seen(0)) == [("Phase0", {"stdout"})]
    assert not Path(f"{path}-{owner}.lock").exists()


def test_locks_of_killed_processes_are_removed(
    path: Path, opened: Callable[..., Open], puppet: Callable[[], Puppet]
) -> None:
    """Opening the journal removes locks without a process and keeps those of living processes."""
    opened()
    dead = puppet()
    dead.do("see(0)")
    assert len(list(path.parent.glob("*.lock"))) == 2
    dead.kill()
    opened().close()
    assert len(list(path.parent.glob("*.lock"))) == 1


def test_lock_removed_during_its_creation_is_created_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between creation and locking, another process may take the file for a dead process's."""
    lock, place = FileLock(path), os.open

    def removed(*arguments: Any) -> int:
        descriptor = place(*arguments)
        monkeypatch.undo()
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", removed)
    assert lock.acquire()
    assert FileLock(path).is_held()
    lock.release()
    assert not path.exists()


def test_subscriber_gets_what_others_observed_while_it_was_down(path: Path, opened: Callable[..., Open]) -> None:
    """If another process follows the job to its end, a killed subscriber gets every transition since its first."""
    opened().deliver(seen(0))
    opened().deliver(seen(1), seen(2), END, to=["hook"])
    again = opened()
    assert [job.name for job in again.resume(EVERYTHING, ["stdout"]).jobs] == []
    assert again.deliver(END) == ["Phase1", "Phase2", "Completed"]
    assert again.deliver(END) == []


def test_watch_gets_the_jobs_of_its_downtime(path: Path, opened: Callable[..., Open]) -> None:
    """From its first start, a watch's subscriber gets every transition of the jobs that it follows."""
    hook = opened()
    hook.deliver(*(seen(9, "Completed", status="Completed", job=job) for job in ("old-1", "new-1")), to=["hook"])
    opened().resume(WatchKey("eu-west-1", "new"), ["stdout"])
    for job in ("new-2", "old-2"):
        hook.deliver(seen(0, job=job), seen(9, "Completed", status="Completed", job=job), to=["hook"])
    again = opened()
    assert [job.name for job in again.resume(WatchKey("eu-west-1", "new"), ["stdout"]).jobs] == ["new-2"]
    assert again.resume(WatchKey("us-east-1", "new"), ["stdout"]).jobs == []
    assert again.deliver(seen(10, "Completed", status="Completed", job="new-2")) == ["Phase0", "Completed"]
    assert again.resume(WatchKey("eu-west-1", "new"), ["stdout"]).jobs == []


def test_watch_resumes_from_its_last_report(opened: Callable[..., Open]) -> None:
    """The earliest report of its subscribers counts for each account; a listing without jobs has no account yet."""
    journal, hours = opened(), [START + timedelta(hours=hour) for hour in range(4)]
    assert journal.resume(EVERYTHING, ["stdout"]) == Resumption([], {}, frozenset())
    journal.reported(EVERYTHING, "", hours[0], ["stdout"])
    assert journal.resume(EVERYTHING, ["stdout"]).reported_to == {"": hours[0]}
    journal.reported(EVERYTHING, "1", hours[1], ["stdout", "hook"])
    journal.reported(EVERYTHING, "1", hours[2], ["hook"])
    journal.reported(EVERYTHING, "2", hours[3], ["hook"])
    assert journal.resume(EVERYTHING, ["stdout", "hook"]).reported_to == {"1": hours[1], "2": hours[3]}
    assert journal.resume(WatchKey("eu-west-1", "a"), ["stdout", "hook"]).reported_to == {}


def test_released_delivery_goes_to_the_next_process(path: Path, opened: Callable[..., Open]) -> None:
    """A released delivery is made by another process, and never again by the one that released it."""
    first = opened()
    [entry] = first.record(seen(0), ["stdout", "hook"])
    first.acknowledge(entry, "stdout")
    first.release(entry, "hook")
    assert first.see(seen(0), to=["stdout", "hook"]) == []
    assert pending(path) == [("Phase0", "hook")]
    second = opened()
    assert second.see(seen(1), to=["stdout", "hook"]) == [("Phase0", {"hook"}), ("Phase1", {"stdout", "hook"})]


def test_process_gets_only_deliveries_to_its_subscribers(opened: Callable[..., Open]) -> None:
    """Open deliveries to other subscribers are not handed out."""
    first = opened()
    first.see(seen(0), to=["hook"])
    first.close()
    assert opened().see(seen(1)) == [("Phase1", {"stdout"})]


def test_interrupted_transaction_holds_no_lock(
    path: Path, opened: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted transaction is rolled back, and this process and others continue."""
    journal = opened()
    with monkeypatch.context() as context:
        context.setattr("automl_waiter.journal.transaction.Transaction._claim", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            journal.see(seen(0))
    other = opened()
    assert other.deliver(seen(0), to=["hook"]) == ["Phase0"]
    assert journal.deliver(seen(0)) == ["Phase0"]
    assert (journal.warnings, other.warnings, pending(path)) == ([], [], [])


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_closing_leaves_open_deliveries_to_others(opened: Callable[..., Open]) -> None:
    """A delivery neither acknowledged nor released goes to the next process."""
    first, second = opened(), opened()
    first.see(seen(0))
    assert second.see(seen(0)) == []
    first.close()
    assert second.deliver(seen(0)) == ["Phase0"]


def test_a_closed_journal_raises_nothing(path: Path, opened: Callable[..., Open]) -> None:
    """After closing, a process still gets its own observations; nothing is written."""
    journal = opened()
    [entry] = journal.record(seen(0), ["stdout"])
    for _ in range(2):
        journal.close()
    journal.acknowledge(entry, "stdout")
    assert journal.see(seen(0), seen(1)) == [("Phase1", {"stdout"})]
    journal.flush()
    assert (journal.resume(EVERYTHING, ["stdout"]), journal.warnings) == (Resumption(), [])
    assert (journaled(path), pending(path)) == (["Phase0"], [("Phase0", "stdout")])


# Several processes


def test_processes_share_a_subscriber(path: Path, puppet: Callable[[], Puppet]) -> None:
    """If two processes observe the same transitions, exactly one delivers each."""
    both = [puppet(), puppet()]
    for each in both:
        assert each.do("warnings") == []
    for each in both:
        each.begin("sum((deliver(number) for number in range(60)), [])")
    delivered = [phase for each in both for phase in each.result()]
    assert sorted(delivered) == sorted(journaled(path))
    assert len(set(delivered)) == len(delivered)
    assert (journaled(path)[-1], pending(path)) == ("Phase59", [])


def test_each_process_delivers_to_its_own_subscriber(puppet: Callable[[], Puppet]) -> None:
    """A transition delivered by one process still goes to the other one's subscriber."""
    one, other = puppet(), puppet()
    for number in range(5):
        assert one.do(f"deliver({number}, 'one')") == [f"Phase{number}"]
        assert other.do(f"deliver({number}, 'other')") == [f"Phase{number}"]


def test_many_writers_lose_nothing(path: Path, puppet: Callable[[], Puppet]) -> None:
    """Four processes create the file together and write as fast as possible: everything is stored, without a warning."""
    writers = [puppet() for _ in range(4)]
    for number, writer in enumerate(writers):
        writer.begin(f"[deliver(phase, 'hook', f'job-{number}-{{job}}') for job in range(15) for phase in range(4)]")
    for writer in writers:
        assert writer.result() == [[f"Phase{phase}"] for _ in range(15) for phase in range(4)]
        assert writer.do("warnings") == []
    histories = read_history(path)
    assert len(histories) == 60
    assert all(len(history.transitions) == 4 for history in histories)
    assert pending(path) == []


def test_threads_share_a_journal(path: Path, opened: Callable[..., Open]) -> None:
    """One thread records transitions while others acknowledge them."""
    journal = opened()
    entries = [journal.record(seen(0, job=f"job-{number}"), ["stdout"])[0] for number in range(40)]

    def acknowledge(part: list[Entry]) -> None:
        for entry in part:
            journal.acknowledge(entry, "stdout")

    threads = [threading.Thread(target=acknowledge, args=(entries[half::2],)) for half in range(2)]
    for thread in threads:
        thread.start()
    journal.deliver(*(seen(1, job=f"job-{number}") for number in range(40)))
    for thread in threads:
        thread.join()
    assert (pending(path), journal.warnings) == ([], [])


# Files that cannot be used


@contextmanager
def locked(path: Path, *, is_waited_for: bool = False) -> Iterator[None]:
    """Hold a lock as another process would; journals wait for it as usual, or not at all."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db, pytest.MonkeyPatch.context() as context:
        if not is_waited_for:
            context.setattr(writing, "_BUSY_TIMEOUT", 0.0)
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


def test_locked_file_does_not_block_the_wait(path: Path, opened: Callable[..., Open]) -> None:
    """There is one warning and half a second of delay at most; events are delivered at once and written later."""
    journal = opened()
    journal.deliver(seen(0))
    with locked(path, is_waited_for=True):
        begun = time.monotonic()
        [entry] = journal.record(seen(1), ["stdout"])
        assert 0.3 < time.monotonic() - begun < 1.5
        begun = time.monotonic()
        assert entry == Entry(None, seen(1), frozenset({"stdout"}))
        assert journal.see(seen(1)) == []
        journal.acknowledge(entry, "stdout")
        assert journal.deliver(seen(2)) == ["Phase2"]
        journal.release(journal.record(seen(3), ["stdout"])[0], "stdout")
        assert time.monotonic() - begun < 0.3, "it is not tried on every call"
    assert journaled(path) == ["Phase0"]
    [warning] = journal.warnings
    assert warning == (f"the journal {path} is locked by another process; the wait continues and retries the write")
    journal.flush()
    assert journaled(path) == ["Phase0"], "it is tried again in some seconds"
    journal.clock.seconds += 10
    journal.flush()
    assert journaled(path) == ["Phase0", "Phase1", "Phase2", "Phase3"]
    assert pending(path) == [("Phase3", "stdout")]
    assert journal.deliver(seen(3), seen(4)) == ["Phase4"]
    assert opened().deliver(seen(4)) == ["Phase3"]
    with locked(path):
        journal.clock.seconds += 10
        journal.deliver(seen(5))
    assert len(journal.warnings) == 1


def test_a_short_lock_is_waited_for(path: Path, opened: Callable[..., Open]) -> None:
    """A lock held by another process for a moment causes no warning."""
    journal = opened()
    journal.deliver(seen(0))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as db:
        db.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, lambda: db.execute("COMMIT"))
        timer.start()
        assert journal.deliver(seen(1)) == ["Phase1"]
        timer.join()
    assert (journal.warnings, journaled(path)) == ([], ["Phase0", "Phase1"])


class Refused(sqlite3.Connection):
    """A connection that reports three times that the file is locked, as when others change its mode."""

    left = 3

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if "journal_mode" in sql and Refused.left:
            Refused.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *arguments)


def test_lock_error_without_busy_timeout_is_retried(
    path: Path, opened: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that create the file together block one another for a moment, without a warning."""
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Refused))
    journal = opened()
    assert journal.deliver(seen(0)) == ["Phase0"]
    assert (journal.warnings, Refused.left, journaled(path)) == ([], 0, ["Phase0"])


def test_closing_retries_the_write(path: Path, opened: Callable[..., Open]) -> None:
    """A pending write is tried again at closing, although the retry interval has not passed."""
    journal = opened()
    journal.deliver(seen(0))
    with locked(path):
        assert journal.deliver(END) == ["Completed"]
    journal.close()
    assert (journaled(path), pending(path)) == (["Phase0", "Completed"], [])


def test_journal_without_a_file_delivers_once(path: Path) -> None:
    """The same rules hold without a file: an end is final, and each transition is delivered once."""
    journal = Open(path.parent / "none" / path.name)
    assert journal.deliver(seen(1), seen(1), seen(2), END, END, seen(10)) == ["Phase1", "Phase2", "Completed"]


def test_delivery_of_a_killed_process_is_not_repeated_after_an_outage(
    path: Path, opened: Callable[..., Open], puppet: Callable[[], Puppet]
) -> None:
    """A transition journaled by an earlier process and delivered here without the file counts as delivered."""
    first = puppet()
    first.do("see(0)")
    first.kill()
    journal = opened()
    with locked(path):
        [entry] = journal.record(seen(0), ["stdout"])
    journal.clock.seconds += 10
    assert journal.see(seen(0)) == []
    assert opened().see(seen(0)) == [], "this process delivers it by now"
    journal.acknowledge(entry, "stdout")
    assert journal.deliver(seen(0), seen(1)) == ["Phase1"]
    assert (journaled(path), pending(path)) == (["Phase0", "Phase1"], [])


def test_oldest_changes_are_dropped_beyond_the_memory_limit(
    tmp_path: Path, opened: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the oldest changes are dropped, with one warning."""
    monkeypatch.setattr(writing, "_MOST_KEPT", 3)
    path = tmp_path / "later" / "jobs.journal"
    journal = Open(path)
    journal.see(*map(seen, range(6)))
    assert [("no such directory" in line, "the oldest are lost" in line) for line in journal.warnings] == [
        (True, False),
        (False, True),
    ]
    path.parent.mkdir()
    journal.close()
    assert journaled(path) == ["Phase3", "Phase4", "Phase5"]


def test_transition_overtaken_during_an_outage_is_dropped(tmp_path: Path) -> None:
    """It comes too slow for the journal; the later transition is still delivered here."""
    path = tmp_path / "later" / "jobs.journal"
    journal = Open(path)
    assert journal.deliver(seen(3)) == ["Phase3"]
    path.parent.mkdir()
    with closing(Open(path)) as other:
        other.deliver(seen(5), to=["other"])
    journal.clock.seconds += 10
    assert journal.deliver(seen(5)) == ["Phase5"]
    assert (journaled(path), journal.deliver(seen(5))) == (["Phase5"], [])
    journal.close()


def test_repeated_states_are_acknowledged_by_their_time(tmp_path: Path) -> None:
    """If a state occurs twice while the file is unavailable, the time of the observation identifies it."""
    path = tmp_path / "later" / "jobs.journal"
    journal = Open(path)
    entries = [journal.record(change, ["stdout"])[0] for change in (seen(0, "A"), seen(1, "B"), seen(2, "A"))]
    path.parent.mkdir()
    journal.clock.seconds += 10
    journal.flush()
    journal.acknowledge(entries[0], "stdout")
    assert pending(path) == [("B", "stdout"), ("A", "stdout")]
    journal.close()


def test_long_outage_is_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending changes are written in order and in small parts, so that no call takes long; none is delivered twice."""
    monkeypatch.setattr(writing, "_PART", 2)
    monkeypatch.setattr(writing, "_BUSY_TIMEOUT", 0.0)
    path = tmp_path / "later" / "jobs.journal"
    journal = Open(path)
    assert journal.deliver(*map(seen, range(5))) == [f"Phase{number}" for number in range(5)]
    path.parent.mkdir()
    journal.clock.seconds += 10
    assert journal.see(seen(4)) == []
    assert journaled(path) == ["Phase0", "Phase1"], "as much as there was time for"
    assert journal.deliver(seen(5)) == ["Phase5"]
    journal.close()
    assert (journaled(path), pending(path)) == ([f"Phase{number}" for number in range(6)], [])


def test_missing_directory_may_appear_later(tmp_path: Path) -> None:
    """There is one warning, and once the directory exists, the pending changes are written."""
    path = tmp_path / "later" / "jobs.journal"
    journal = Open(path)
    assert journal.deliver(seen(0)) == ["Phase0"]
    journal.clock.seconds += 10
    assert journal.deliver(seen(1)) == ["Phase1"]
    [warning] = journal.warnings
    assert warning.startswith(f"the journal {path} cannot be created: there is no such directory; the wait continues")
    path.parent.mkdir()
    journal.clock.seconds += 10
    assert journal.deliver(seen(2)) == ["Phase2"]
    journal.close()
    assert (journaled(path), pending(path)) == (["Phase0", "Phase1", "Phase2"], [])


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, but somebody's notes\n" * 300)


def overwritten(path: Path) -> None:
    with closing(Journal(path, warn=print)) as journal:
        journal.record(seen(0), ["stdout"])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def truncated(path: Path) -> None:
    with closing(Journal(path, warn=print)) as journal:
        journal.record(seen(0), ["stdout"])
    os.truncate(path, 4096)


def wrong_times(path: Path) -> None:
    with closing(Journal(path, warn=print)) as journal:
        journal.record(seen(0), ["stdout"])
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE transition SET observed_at = 'yesterday'")
        db.commit()


def a_blob(path: Path) -> None:
    with closing(Journal(path, warn=print)) as journal:
        journal.record(seen(0), ["stdout"])
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE transition SET status = x'ff00'")
        db.commit()


def somebody_elses(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipe (name)")


def newer(path: Path) -> None:
    with closing(Journal(path, warn=print)) as journal:
        journal.record(seen(0), ["stdout"])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 3")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (garbage, "is damaged, or not a journal: file is not a database"),
        (overwritten, "is damaged, or not a journal: database disk image is malformed"),
        (truncated, "is damaged, or not a journal: database disk image is malformed"),
        (wrong_times, "is damaged: Invalid isoformat string: 'yesterday'"),
        (a_blob, "is damaged: transition 1 has a value of the wrong type"),
        (somebody_elses, "is not a journal, but another program's database"),
        (newer, "is of version 3, and this release uses version 2"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_file_is_left_unchanged(path: Path, damage: Callable[[Path], None], words: str) -> None:
    """There is one warning, the wait continues without the file, and `history` says what is wrong."""
    damage(path)
    before = path.read_bytes()
    journal = Open(path)
    for number in (1, 2, 3):
        assert journal.deliver(seen(number)) == [f"Phase{number}"]
        journal.clock.seconds += 10
    assert journal.resume(EVERYTHING, ["stdout"]) == Resumption()
    journal.close()
    assert journal.warnings == [f"the journal {path} {words}; the wait continues without it"]
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(JournalError, match=" is ") as raised:
        read_history(path)
    assert str(raised.value) == f"the journal {path} {words}"


ODD_VALUES = ["NULL", "x'ff00'", "'0001-01-01T00:00:00+14:00'", "9e999"]
COLUMNS = [
    *("job.arn", "job.name", "job.region", "job.latest", "job.has_ended", "job.verdict", "job.exit_code"),
    *("job.created_at", "job.ended_at", "job.failure_reason"),
    *("transition.job_id", "transition.before_status", "transition.status", "transition.secondary_status"),
    *("transition.repeat", "transition.observed_at", "transition.not_before"),
    *("delivery.subscriber", "delivery.owner", "delivery.claimed_at", "delivery.acknowledged_at"),
    *("watch.region", "watch.name_contains", "watch.account", "watch.joined", "watch.reported_to"),
]


@pytest.mark.parametrize("value", ODD_VALUES)
def test_stored_values_never_end_a_wait(path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
    """Whatever another program stored, transitions are delivered, and `history` prints it or says what is wrong."""
    with closing(Open(path)) as before:
        before.see(seen(0))
        before.reported(EVERYTHING, "1", START, ["stdout"])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '')")
        db.commit()
    content = path.read_bytes()
    for column in COLUMNS:
        path.write_bytes(content)
        table, name = column.split(".")
        with closing(sqlite3.connect(path)) as db, suppress(sqlite3.IntegrityError):  # a part of a key is never NULL
            db.execute(f"UPDATE {table} SET {name} = {value}")
            db.commit()
        journal = Open(path)
        journal.resume(EVERYTHING, ["stdout"])
        assert journal.deliver(seen(1))[-1:] == ["Phase1"]
        journal.record_outcome(outcome(Verdict.FAILED, ExitCode.FAILED, "Failed"))
        journal.close()
        for form in ("text", "jsonl"):
            with suppress(JournalError):
                print_history(path, [], form)
        with suppress(JournalError), closing(JournalReader(path)) as reader:
            reader.names("")
            reader.transitions("churn")


def test_directory_is_not_a_journal(tmp_path: Path) -> None:
    """There is one warning, and the wait continues."""
    journal = Open(tmp_path)
    assert journal.deliver(seen(0), seen(1)) == ["Phase0", "Phase1"]
    assert journal.warnings == [f"the journal {tmp_path} is not a file; the wait continues without it"]


def test_removed_file_is_not_written_to(path: Path, opened: Callable[..., Open]) -> None:
    """Another file may be there instead: there is one warning, and the wait continues without the journal."""
    journal = opened()
    journal.deliver(seen(0))
    path.unlink()
    assert journal.deliver(seen(1), seen(2)) == ["Phase1", "Phase2"]
    assert journal.warnings == [f"the journal {path} was removed or replaced; the wait continues without it"]
    assert not path.exists()


@pytest.mark.parametrize("also", ["-wal", "-shm"])
def test_removed_write_ahead_log_is_noticed(path: Path, opened: Callable[..., Open], also: str) -> None:
    """Its content is saved if possible, nothing more is written, and a warning follows at the next event."""
    journal = opened()
    journal.deliver(seen(0))
    for suffix in {"-wal", also}:
        Path(f"{path}{suffix}").unlink()
    journal.flush()
    [warning] = journal.warnings
    words = f"has lost its log, {path.name}-wal, which was removed or replaced"
    assert warning == f"the journal {path} {words}; the wait continues without it"
    assert journal.deliver(seen(1)) == ["Phase1"]
    assert (journaled(path), pending(path)) == (["Phase0"], [])


def test_file_replaced_while_unavailable_is_not_used(
    path: Path, opened: Callable[..., Open], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ids in a new file mean something else, so it is not taken for the old one."""
    journal = opened()
    journal.see(seen(0))
    with monkeypatch.context() as context:
        context.setattr(writing, "_identity_of", _no_answer)
        journal.see(seen(1))
    path.unlink()
    journal.clock.seconds += 10
    assert journal.see(seen(2)) == [("Phase2", {"stdout"})]
    assert [line.split(";")[0].removeprefix(f"the journal {path} ") for line in journal.warnings] == [
        "cannot be opened: input/output error",
        "was removed or replaced",
    ]
    assert not path.exists()


def _no_answer(path: Path) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize(
    ("pragma", "undo", "words"),
    [
        ("max_page_count = 8", "max_page_count = 100000", "cannot be written: the disk is full"),
        ("query_only = 1", "query_only = 0", "cannot be written: it is read-only"),
    ],
    ids=["full", "read-only"],
)
def test_temporarily_unwritable_file_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, undo: str, words: str
) -> None:
    """A full disk or a read-only file causes one warning; pending changes are written afterwards."""
    with closing(Open(path)) as before:
        before.deliver(seen(0))
    now = [pragma]
    connect = sqlite3.connect

    def hindered(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*arguments, **options)
        db.execute(f"PRAGMA {now[0]}")
        return db

    journal = Open(path)
    journal.open()
    journal._disconnect()
    phases = [f"Phase{number}" for number in range(1, 200)]
    with monkeypatch.context() as context:
        context.setattr(sqlite3, "connect", hindered)
        for number in range(1, 200):
            assert journal.deliver(seen(number)) == [f"Phase{number}"]
            journal.clock.seconds += 10
        now[0] = undo
        journal.flush()
    journal.close()
    assert journal.warnings == [f"the journal {path} {words}; the wait continues and retries the write"]
    assert (journaled(path), pending(path)) == (["Phase0", *phases], [])


def test_file_size_limit_loses_nothing(path: Path, puppet: Callable[[], Puppet]) -> None:
    """There is one warning, nothing is raised, and everything is written after the limit is lifted."""
    writer = puppet()
    writer.do("deliver(0)")
    limit = path.with_name(f"{path.name}-wal").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    writer.do(f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {hard}))")
    assert writer.do("sum((deliver(number) for number in range(1, 4)), [])") == ["Phase1", "Phase2", "Phase3"]
    assert journaled(path) == ["Phase0"]
    [warning] = writer.do("warnings")
    assert warning.startswith(f"the journal {path} cannot be used: disk I/O error; the wait continues")
    writer.do(f"resource.setrlimit(resource.RLIMIT_FSIZE, ({hard}, {hard}))")
    writer.do("seconds += 10")
    assert writer.do("deliver(4)") == ["Phase4"]
    assert (journaled(path), pending(path)) == ([f"Phase{number}" for number in range(5)], [])
    assert writer.do("len(warnings)") == 1


def test_journal_that_cannot_be_opened_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`open` raises an error; an unusable file is a warning only later."""
    monkeypatch.setattr(writing, "_OPEN_TIMEOUT", 0.2)
    for bad, words in (
        (path.parent / "none" / "j", "cannot be created: there is no such directory"),
        (path.parent, "is not a file"),
    ):
        with pytest.raises(JournalError) as raised:
            Open(bad).open()
        assert str(raised.value) == f"the journal {bad} {words}"
    with closing(Open(path)) as journal:
        journal.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match="is locked by another process"):
            Open(path).open()


def test_warning_callback_may_use_the_journal(tmp_path: Path) -> None:
    """A warning is given without holding a lock, so the callback may call the journal."""
    warnings: list[str] = []

    def warn(line: str) -> None:
        warnings.append(line)
        journal.flush()

    journal = Journal(tmp_path / "none" / "jobs.journal", warn=warn)
    thread = threading.Thread(target=lambda: journal.record(seen(0), ["stdout"]), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert len(warnings) == 1


# Outcomes and unfinished jobs


def outcome(
    verdict: Verdict, code: ExitCode, status: str = "InProgress", *, job: str = "churn", reason: str | None = None
) -> Outcome:
    timeline = Timeline([(0, status, "ModelTuning" if status == "InProgress" else status)], failure_reason=reason)
    response = timeline.response(60, name=job, created=START, arn=arn_of(job))
    return Outcome(job=job, job_name=job, verdict=verdict, exit_code=code, snapshot=Snapshot(response))


def test_outcome_is_journaled(path: Path, opened: Callable[..., Open]) -> None:
    """The journal holds the verdict, the end of the job and AWS's reason."""
    journal = opened()
    journal.deliver(seen(0), seen(1, "Failed", status="Failed"))
    ended = outcome(Verdict.FAILED, ExitCode.FAILED, "Failed", reason="no data")
    journal.record_outcome(ended)
    [history] = read_history(path)
    assert history.state == State("Failed", "Failed")
    assert (history.verdict, history.exit_code, history.failure_reason) == ("failed", 10, "no data")
    assert (history.created_at, history.ended_at) == (START, ended.ended_at)


def test_cancelled_wait_keeps_a_recorded_end(path: Path, opened: Callable[..., Open]) -> None:
    """A recorded end stays, and a job that continued after a wait has no verdict."""
    journal = opened()
    journal.deliver(seen(0))
    journal.record_outcome(outcome(Verdict.TIMED_OUT, ExitCode.TIMED_OUT))
    assert read_history(path)[0].verdict == "timed_out"
    journal.deliver(seen(1))
    assert read_history(path)[0].verdict is None
    journal.deliver(END)
    journal.record_outcome(outcome(Verdict.COMPLETED, ExitCode.OK, "Completed"))
    journal.record_outcome(outcome(Verdict.CANCELLED, ExitCode.INTERRUPTED))
    assert (read_history(path)[0].verdict, read_history(path)[0].exit_code) == ("completed", 0)


def test_outcome_without_an_arn_is_not_journaled(path: Path, opened: Callable[..., Open]) -> None:
    """A name that was never seen may mean any job; a given ARN means one."""
    journal = opened()
    error = JobNotFound("there is none")
    for job in ("churn", arn_of("churn")):
        journal.record_outcome(
            Outcome(job=job, job_name="churn", verdict=Verdict.NOT_FOUND, exit_code=ExitCode.NOT_FOUND, error=error)
        )
    [history] = read_history(path)
    assert (history.state, history.verdict, history.transitions) == (None, "not_found", ())
    assert journal.resume(EVERYTHING, []).jobs == [], "there is nothing to wait for"


def test_unfinished_jobs_can_be_resumed(path: Path, opened: Callable[..., Open], puppet: Callable[[], Puppet]) -> None:
    """These are the region's jobs that have not ended, and those with deliveries left by the last process."""
    first = puppet()
    for job in ("running", "waiting", "over"):
        first.do(f"see(0, job='{job}')")
    first.do("journal.acknowledge(*taken[2])")
    journal = opened()
    journal.deliver(*(seen(9, "Completed", job=job, status="Completed") for job in ("waiting", "over")))
    journal.deliver(replace(seen(0, job="running"), job_arn=arn_of("running", "us-east-1")))
    journal.see(seen(0, "Completed", job="mine", status="Completed"))

    def left(*subscribers: str) -> list[str]:
        found = journal.resume(EVERYTHING, subscribers).jobs
        assert all(job == UnfinishedJob(job.name, arn_of(job.name)) for job in found)
        return [job.name for job in found]

    assert left("stdout") == ["running"], "the other process lives"
    first.kill()
    assert left("stdout") == ["running", "waiting"]
    assert left("hook") == ["running"]
    elsewhere = journal.resume(WatchKey("us-east-1", ""), ["stdout"]).jobs
    assert elsewhere == [UnfinishedJob("running", arn_of("running", "us-east-1"))]
    assert journal.deliver(seen(9, "Completed", job="waiting", status="Completed")) == ["Phase0"]
    assert left("stdout") == ["running"]


# History


def record_two_jobs(path: Path) -> None:
    with closing(Open(path)) as journal:
        for number, phase in enumerate(PHASES):
            journal.deliver(seen(number, phase), to=["stdout"])
        [entry] = journal.record(seen(9, "Failed", status="Failed"), ["stdout", "notify.sh 1a2b3c4d5e6f"])
        journal.acknowledge(entry, "stdout")
        journal.record_outcome(outcome(Verdict.FAILED, ExitCode.FAILED, "Failed", reason="no\x1b[31m data\n::error::x"))
        journal.deliver(seen(0, "\x1b]0;owned\x07Odd", job="fraud"))


def test_history_as_text(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A head line has the state of each job, followed by its phases, their durations and undelivered transitions."""
    record_two_jobs(path)
    print_history(path, [], "text")
    assert capsys.readouterr().out == (
        "churn: Failed/Failed, failed (exit code 10)\n"
        "  arn       arn:aws:sagemaker:eu-west-1:123456789012:automl-job/churn\n"
        "  created   2026-11-24T09:30:00.000Z\n"
        "  ended     2026-11-24T09:30:00.000Z\n"
        "  reason    no [31m data ::error::x\n"
        "  2026-11-24T09:30:00.000Z  InProgress/Starting                        1h\n"
        "  2026-11-24T10:30:00.000Z  InProgress/AnalyzingData                   1h\n"
        "  2026-11-24T11:30:00.000Z  InProgress/FeatureEngineering              1h\n"
        "  2026-11-24T12:30:00.000Z  InProgress/ModelTuning                     1h\n"
        "  2026-11-24T13:30:00.000Z  InProgress/GeneratingExplainabilityReport  5h\n"
        "  2026-11-24T18:30:00.000Z  Failed/Failed                                        "
        "not delivered: notify.sh 1a2b3c4d5e6f\n"
        "fraud: InProgress/ ]0;owned Odd\n"
        "  arn       arn:aws:sagemaker:eu-west-1:123456789012:automl-job/fraud\n"
        "  2026-11-24T09:30:00.000Z  InProgress/ ]0;owned Odd\n"
    )


def test_history_as_json_and_jsonl(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both have the same members for each job, and control characters are escaped."""
    record_two_jobs(path)
    print_history(path, [], "json")
    printed = capsys.readouterr().out
    document = json.loads(printed)
    print_history(path, [], "jsonl")
    lines = capsys.readouterr().out
    assert [json.loads(line) for line in lines.splitlines()] == document["jobs"]
    assert not any(char < " " and char != "\n" for char in printed + lines)
    churn, fraud = document["jobs"]
    assert churn | {"transitions": None} == {
        "job_name": "churn",
        "job_arn": arn_of(),
        "status": "Failed",
        "secondary_status": "Failed",
        "verdict": "failed",
        "exit_code": 10,
        "created_at": "2026-11-24T09:30:00.000Z",
        "ended_at": "2026-11-24T09:30:00.000Z",
        "failure_reason": "no\x1b[31m data\n::error::x",
        "transitions": None,
    }
    last = churn["transitions"][-1]
    assert last["before"] == {"status": "InProgress", "secondary_status": PHASES[-1]}
    assert last["observed_at"] == "2026-11-24T18:30:00.000Z"
    assert [(delivery["subscriber"], delivery["state"]) for delivery in last["deliveries"]] == [
        ("notify.sh 1a2b3c4d5e6f", "pending"),
        ("stdout", "acknowledged"),
    ]
    assert (fraud["verdict"], fraud["failure_reason"]) == (None, None)
    print_history(path, [], "none")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("asked", ["fraud", "FRAUD", arn_of("fraud"), arn_of("fraud").upper()])
def test_history_of_one_job(path: Path, asked: str) -> None:
    """A job is selected by its name or its ARN, in any case."""
    record_two_jobs(path)
    assert [history.job_name for history in read_history(path, [asked])] == ["fraud"]


def test_history_of_a_missing_journal_or_job(path: Path) -> None:
    """A missing file or a job that it does not contain is a one-line error."""
    with pytest.raises(AutoMLWaiterError) as raised:
        read_history(path)
    assert str(raised.value) == f"there is no journal {path}"
    assert not path.exists()
    record_two_jobs(path)
    with pytest.raises(JournalError) as raised:
        read_history(path, ["fraud", "nobody\x1b[31m"])
    assert str(raised.value) == f"the journal {path} has no job 'nobody [31m'"
    with pytest.raises(JournalError, match="is not a file"):
        read_history(path.parent)
    empty = path.with_name("empty")
    empty.touch()
    with pytest.raises(JournalError, match="is empty"):
        read_history(empty)


def test_reading_leaves_no_files(path: Path, puppet: Callable[[], Puppet]) -> None:
    """Reading a closed journal creates no file beside it; one left by a killed process can be read too."""
    record_two_jobs(path)
    path.chmod(0o400)
    before = path.read_bytes()
    assert len(read_history(path)) == 2
    assert (list(path.parent.iterdir()), path.read_bytes()) == ([path], before)
    path.chmod(0o600)
    left = puppet()
    left.do("deliver(0, job='third')")
    left.kill()
    assert len(read_history(path)) == 3


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of 20,000 jobs and 100,000 transitions."""
    path = tmp_path_factory.mktemp("large") / "jobs.journal"
    with closing(Open(path)) as journal:
        journal.deliver(
            *(seen(number, job="job-0") for number in range(4)), replace(END, job_name="job-0", job_arn=arn_of("job-0"))
        )
        journal.record_outcome(outcome(Verdict.COMPLETED, ExitCode.OK, "Completed", job="job-0"))
        journal.resume(EVERYTHING, ["stdout"])
    with closing(sqlite3.connect(path)) as db:
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)"
        for copied in (
            (
                "job SELECT i + 1, replace(arn, 'job-0', 'job-' || i), 'job-' || i, region, latest + 5 * i, has_ended, "
                "verdict, exit_code, created_at, ended_at, failure_reason FROM job"
            ),
            (
                "transition SELECT id + 5 * i, i + 1, before_status, before_secondary_status, status, secondary_status, "
                "repeat, observed_at, not_before FROM transition"
            ),
            "delivery SELECT transition_id + 5 * i, subscriber, owner, claimed_at, acknowledged_at FROM delivery",
        ):
            db.execute(f"{numbers} INSERT INTO {copied}, n")
        db.commit()
    return path


def quickest(work: Callable[[], object]) -> float:
    """Return the shortest duration of five runs, in seconds."""
    tries = []
    for _ in range(5):
        begun = time.perf_counter()
        work()
        tries.append(time.perf_counter() - begun)
    return min(tries)


def test_large_journal_is_read_within_50_ms(large: Path) -> None:
    """The history of one job, a completion and the start of a wait or watch read only what they need."""
    assert quickest(lambda: read_history(large, ["job-19000"])) < 0.05

    def complete() -> None:
        with closing(JournalReader(large)) as journal:
            assert len(journal.names("")) == len(journal.names("job-1")) == 100
            assert journal.names("JOB-19000") == [("job-19000", "Completed")]

    def begin() -> None:
        with closing(Open(large)) as journal:
            journal.open()
            assert journal.resume(EVERYTHING, ["stdout"]).jobs == []
            assert journal.warnings == []

    assert quickest(complete) < 0.05
    begin()  # afterwards, only what came since then is searched
    assert quickest(begin) < 0.05


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_large_history_is_printed_as_it_is_read(large: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """The first job is printed before the last one is read, so memory does not hold the whole journal."""

    class Full(io.TextIOBase):
        written = 0

        def write(self, text: str) -> int:
            self.written += len(text)
            if self.written > 20_000:
                raise BrokenPipeError
            return len(text)

        def fileno(self) -> int:
            return os.open(os.devnull, os.O_WRONLY)

    read: list[object] = []
    transitions_of = JournalReader._transitions_of
    monkeypatch.setattr(JournalReader, "_transitions_of", lambda *of: read.append(of) or transitions_of(*of))
    monkeypatch.setattr(sys, "stdout", Full())
    assert print_history(large, [], form) == ExitCode.OK
    assert 10 < len(read) < 100


def test_an_empty_history_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal without jobs is not an error."""
    with closing(Open(path)) as journal:
        journal.open()
    print_history(path, [], "text")
    print_history(path, [], "json")
    assert capsys.readouterr().out == 'the journal has no jobs\n{"jobs": []}\n'


# Any sequence of events

ACTIONS = st.one_of(
    st.tuples(st.just("see"), st.integers(0, 1)),  # by how many phases the job has advanced
    st.tuples(st.just("acknowledge"), st.integers(0, 3)),  # index among the entries handed out
    st.tuples(st.just("release"), st.integers(0, 3)),
)
LIVES = st.lists(
    st.tuples(st.lists(ACTIONS, min_size=1, max_size=6), st.one_of(st.none(), st.integers(1, 60))),
    min_size=1,
    max_size=4,
)


def live(path: Path, log: int, actions: list[tuple[str, int]], phase: int, last_statement: int | None) -> None:
    """Run a process: it records what it does, and is killed at a statement of SQLite or at its end."""
    statements = iter(range(last_statement)) if last_statement is not None else None

    def count(_: str) -> None:
        if statements is not None and next(statements, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*arguments, **options)
        db.set_trace_callback(count)
        return db

    sqlite3.connect = traced  # type: ignore[assignment] # the process ends with it
    journal = Journal(path, warn=lambda line: write(log, "warned", line))
    journal.open()
    taken: list[tuple[Entry, str]] = []
    for action, number in actions:
        if action == "see":
            phase += number
            jumped = replace(seen(phase), observed_at=START + timedelta(hours=phase * 37 % 11))
            for entry in journal.record(jumped, ["stdout", "hook"]):
                for subscriber in sorted(entry.subscribers):
                    write(log, "delivered", f"{entry.transition.after.secondary_status} {subscriber}")
                    taken.append((entry, subscriber))
            write(log, "saw", f"Phase{phase}")
        elif taken:
            entry, subscriber = taken.pop(number % len(taken))
            name = f"{entry.transition.after.secondary_status} {subscriber}"
            if action == "acknowledge":
                journal.acknowledge(entry, subscriber)
                write(log, "acknowledged", name)
            else:
                journal.release(entry, subscriber)
    os.kill(os.getpid(), signal.SIGKILL)


def write(log: int, *words: str) -> None:
    os.write(log, f"{' '.join(words)}\n".encode())


@settings(max_examples=20)
@given(lives=LIVES)
def test_killed_processes_lose_nothing_and_repeat_nothing_acknowledged(
    lives: list[tuple[list[tuple[str, int]], int | None]],
) -> None:
    """Every observation is delivered in the end, and never again after its acknowledgement."""
    with tempfile.TemporaryDirectory() as directory:
        path, notes = Path(directory) / "jobs.journal", Path(directory) / "log"
        log = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        phase = 0
        for actions, last_statement in [*lives, ([("see", 0)] + [("acknowledge", 0)] * 40, None)]:
            if (pid := os.fork()) == 0:
                try:
                    live(path, log, actions, phase, last_statement)
                finally:
                    os._exit(1)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
            phase += sum(number for action, number in actions if action == "see")
        os.close(log)
        story = [line.split(" ", 1) for line in notes.read_text().splitlines()]
        by_kind: dict[str, list[str]] = {"saw": [], "delivered": [], "acknowledged": [], "warned": []}
        for kind, what in story:
            assert kind != "delivered" or what not in by_kind["acknowledged"], "it was taken before"
            by_kind[kind].append(what)
        acknowledged = by_kind["acknowledged"]
        assert by_kind["warned"] == []
        assert len(set(acknowledged)) == len(acknowledged)
        assert set(by_kind["saw"]) <= set(journaled(path)) == {what.split()[0] for what in by_kind["delivered"]}
        assert pending(path) == []
