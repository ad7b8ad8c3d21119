"""The candidates of a job: their ranking, when they are listed, and the wait for one that is good enough."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from virtual import Faulty, Recording, Sleepy, both_shells, kernel_of, no_network, throttle

from automl_waiter import AccessDenied, InvalidRequest, aio, waiter
from automl_waiter._engine.candidates import read_candidates
from automl_waiter._model.candidates import Leaderboard, Training, algorithm_of, is_minimized, objective_of, ranked
from automl_waiter._model.errors import ServiceUnavailable
from automl_waiter._model.events import Candidates, Ended, Event, Heartbeat, Retry, Warned, event_dict
from automl_waiter._model.options import CANDIDATES_EVERY_S, WaitOptions, wait_options
from automl_waiter._model.snapshot import Candidate, Snapshot
from automl_waiter.testing import ManualClock, Timeline

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
JOB = Timeline(
    [
        (0, "InProgress", "AnalyzingData"),
        (600, "InProgress", "ModelTuning"),
        (1500, "InProgress", "GeneratingExplainabilityReport"),
        (2100, "Completed", "Completed"),
    ]
)
VALUE = "BestCandidate.FinalAutoMLJobObjectiveMetric.Value"


class Listed(Faulty):
    """Scripted jobs that record when their candidates are listed, and first raise what is in `problems`."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.listings: list[float] = []
        self.problems: list[Exception | None] = []
        self.seconds = 0.0

    def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
        self.listings.append(self.clock.monotonic())
        self.clock.advance(self.seconds)
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem
        return super().list_candidates(job_name, token)


def listed_once(jobs: Listed) -> Leaderboard:
    """Return the candidates of a job, listed once for a report."""
    read = partial(read_candidates, job_name="churn", error_budget=10.0)
    return waiter.result_of(read, jobs, jobs.clock, error_budget=10.0).leaderboard


def watched(jobs: Listed, options: WaitOptions, timeline: Timeline = JOB, shell: str = "sync") -> list[Event]:
    """Return the events of a wait for a job."""
    jobs.add("churn", timeline)
    kernel = kernel_of(["churn"], [jobs], options, jobs.clock)
    if shell == "sync":
        return list(waiter.events_of(kernel, jobs.clock))

    async def run() -> list[Event]:
        return [event async for event in aio.events_of(kernel, jobs.clock)]

    import asyncio

    return asyncio.run(run())


def with_view(**options: Any) -> WaitOptions:
    """Return the options of a wait with a live view."""
    return WaitOptions(candidates_every=CANDIDATES_EVERY_S, **options)


def candidate(
    name: str, value: float | None, *, metric: str = "F1", kind: str | None = "Maximize", **more: Any
) -> Candidate:
    objective = {"MetricName": metric, "Value": value} | ({"Type": kind} if kind else {})
    raw = {"CandidateName": name, "CandidateStatus": "Completed", "CreationTime": BEGIN} | more
    return Candidate(raw if value is None else raw | {"FinalAutoMLJobObjectiveMetric": objective})


# Ranking


@pytest.mark.parametrize(
    ("metric", "smaller"),
    [("F1", False), ("AUC", False), ("RMSE", True), ("validation:mse", True), ("validation:accuracy", False)],
)
def test_errors_and_losses_are_minimized(metric: str, smaller: bool) -> None:
    """Scores are maximized; the metric names that jobs of 2020 used are known too."""
    assert is_minimized(metric) is smaller


def test_the_response_decides_the_direction_of_a_metric() -> None:
    """If the response names the direction, the metric's name does not matter."""
    assert [one.name for one in ranked([candidate("a", 1, kind="Minimize"), candidate("b", 2, kind="Minimize")])] == [
        "a",
        "b",
    ]
    assert [one.name for one in ranked([candidate("a", 1), candidate("b", 2)])] == ["b", "a"]


def test_candidates_without_a_value_rank_last() -> None:
    """Candidates without a numeric value rank behind all others, oldest first."""
    late = candidate("late", None, CreationTime=BEGIN + timedelta(hours=1))
    board = Leaderboard(
        ranked([late, candidate("early", None), candidate("nan", float("nan")), candidate("good", 0.5)])
    )
    assert [one.name for one in board.candidates] == ["good", "early", "nan", "late"]
    assert board.best is not None
    assert board.best.name == "good"
    assert Leaderboard(ranked([late])).best is None


def test_only_completed_candidates_can_be_best() -> None:
    """A candidate that failed or is still training ranks behind completed ones, whatever its value."""
    failed = candidate("failed", 0.95, CandidateStatus="Failed")
    going = candidate("going", 0.9, CandidateStatus="InProgress")
    board = Leaderboard(ranked([failed, candidate("good", 0.8), going]))
    assert [one.name for one in board.candidates] == ["good", "failed", "going"]
    assert board.best is not None
    assert board.best.name == "good"
    assert Leaderboard(ranked([failed, going])).best is None


def test_candidates_are_counted_by_their_status() -> None:
    """The view counts trained and training candidates; the event has the total."""
    board = Leaderboard(ranked([candidate("a", 0.5), candidate("b", None, CandidateStatus="InProgress")]))
    assert (board.count("Completed"), board.count("InProgress"), board.count("Failed", "Stopped")) == (1, 1, 0)
    event = event_dict(Candidates("churn", BEGIN, board))
    assert event["listed"] == 2
    assert event["best"] == {"name": "a", "metric": "F1", "value": 0.5, "is_minimized": False}
    assert event_dict(Candidates("churn", BEGIN, Leaderboard()))["best"] is None


@pytest.mark.parametrize(
    ("images", "algorithm"),
    [
        # As recorded: a pipeline of transformations around a model, and an ensemble.
        (
            ["sagemaker-sklearn-automl:2.5-1-cpu-py3", "sagemaker-xgboost:1.3-1-cpu-py3", "sagemaker-sklearn-automl:2"],
            "xgboost",
        ),
        (["sagemaker-sklearn-automl:0.1.0-cpu-py3", "linear-learner:latest"], "linear-learner"),
        (["autogluon-inference:0.4.3-cpu-py38-ubuntu20.04"], "autogluon"),
        (["xgboost@sha256:abc", "linear-learner"], "xgboost, linear-learner"),
        (["sagemaker-sklearn-automl:2.5-1-cpu-py3"], None),
        ([""], None),
        ([], None),
    ],
)
def test_algorithm_is_the_image_repository_of_the_model(images: list[str], algorithm: str | None) -> None:
    """Containers that transform data do not count; without another one, the algorithm is unknown."""
    containers = [{"Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{image}"} for image in images]
    assert algorithm_of(Candidate({"InferenceContainers": containers})) == algorithm
    assert algorithm_of(Candidate({"InferenceContainerDefinitions": {"CPU": containers}})) == algorithm
    assert algorithm_of(Candidate({"InferenceContainers": [{}]})) is None


def test_training_spans_first_creation_to_last_time() -> None:
    """Training begins at the first CreationTime and ends at the last time of any candidate."""
    times = [BEGIN + timedelta(minutes=minute) for minute in range(4)]
    done = Candidate({"CreationTime": times[1], "EndTime": times[3]})
    running = Candidate({"CreationTime": times[2]})
    assert Leaderboard([running, done]).training == Training(times[1], times[3])
    assert Leaderboard([running]).training == Training(times[2], times[2])
    assert Leaderboard().training is None


def test_objective_has_its_standard_name() -> None:
    """`validation:f1` is reported as F1 if the response says so."""
    raw = {"FinalAutoMLJobObjectiveMetric": {"MetricName": "validation:f1", "StandardMetricName": "F1", "Value": 1}}
    assert objective_of(Candidate(raw)) == ("F1", 1, False)


# When candidates are listed


@both_shells
def test_candidates_are_listed_every_two_minutes_while_they_train(shell: str) -> None:
    """For a view, candidates are also listed once after training, and never otherwise."""
    jobs = Listed(ManualClock())
    events = watched(jobs, with_view(poll=wait_options(poll=10).poll), shell=shell)
    assert [second // 60 for second in jobs.listings] == [10, 12, 14, 16, 18, 20, 22, 24, 26]
    assert len(jobs.listings) < len(jobs.looks) / 20
    boards = [event.leaderboard for event in events if isinstance(event, Candidates)]
    assert [len(board.candidates) for board in boards] == [0, 1, 2, 3, 4, 6, 7, 7, 8]
    assert boards[-1].best is not None
    assert boards[-1].best.name == "churn-001"


def test_candidates_are_not_listed_without_a_view() -> None:
    """A wait with neither a view nor a condition on candidates needs no permission to list them."""
    jobs = Listed(ManualClock())
    watched(jobs, wait_options(until="Completed"))
    assert jobs.listings == []


def test_candidates_of_listed_jobs_are_read_for_a_view() -> None:
    """A view of twelve jobs shows the best candidate of each, as soon as the job trains."""
    jobs = Listed(ManualClock())
    names = [f"job-{number}" for number in range(12)]
    for name in names:
        jobs.add(name, JOB)
    jobs.problems = [AccessDenied("may not")]
    events = list(waiter.events_of(kernel_of(names, [jobs] * 12, with_view(), jobs.clock), jobs.clock))
    boards = [event for event in events if isinstance(event, Candidates)]
    assert len({board.job_name for board in boards}) == 11, "one was denied, and is left alone"
    assert min(jobs.listings) >= 600
    assert len(jobs.listings) < 12 * 12


@both_shells
def test_denied_listing_of_candidates_is_silent_and_not_repeated(shell: str) -> None:
    """If IAM denies it, there are no candidates, no message and no second call."""
    jobs = Listed(ManualClock())
    jobs.problems = [AccessDenied("no")] * 100
    events = watched(jobs, with_view(), shell=shell)
    assert len(jobs.listings) == 1
    assert {event.event for event in events} == {"transition", "poll", "outcome"}
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.verdict == "completed"


@pytest.mark.parametrize("problem", [throttle(), no_network()])
def test_failed_listing_of_candidates_waits_for_the_next_interval(problem: Exception) -> None:
    """A throttled or failed listing is neither retried nor reported; the next one runs at its usual time."""
    jobs = Listed(ManualClock())
    jobs.problems = [problem]
    events = watched(jobs, with_view())
    assert jobs.listings[1] - jobs.listings[0] >= CANDIDATES_EVERY_S
    assert not [event for event in events if event.event == "retry"]
    assert [event for event in events if isinstance(event, Candidates)]


def test_slow_listing_of_candidates_does_not_delay_polls() -> None:
    """With a fixed interval, polls stay on schedule within a second, although a listing takes longer than the pause."""
    calm, slow = Listed(ManualClock()), Listed(ManualClock())
    slow.seconds = 1.5
    for jobs in (calm, slow):
        watched(jobs, with_view(poll=wait_options(poll=3).poll))
    delays = [poll - (index * 3) for index, poll in enumerate(slow.looks)]
    assert len(slow.looks) == len(calm.looks)
    assert max(delays) < 1


def test_hanging_page_is_abandoned_before_the_next_poll() -> None:
    """A page has until one second before the next poll; then it is abandoned within that second, and not retried."""
    clock = Recording(hanging="list_candidates")
    jobs = Listed(clock)
    jobs.add("churn", JOB, start=700)
    kernel = kernel_of(["churn"], [jobs], with_view(poll=wait_options(poll=10).poll), clock)
    until_second_poll = itertools.takewhile(lambda _: clock.monotonic() < 11, waiter.events_of(kernel, clock))
    assert not [event for event in until_second_poll if isinstance(event, Retry)]
    assert [until for name, until in clock.calls if name == "list_candidates"] == [pytest.approx(9.0 + 0.9)]


def test_all_pages_are_read() -> None:
    """All pages of a job with hundreds of candidates are read, up to eight, so that a looping token ends too."""
    clock = ManualClock()

    class Many(Listed):
        last = 0

        def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
            first = int(token or 0)
            self.listings.append(first)
            page = [candidate(f"c{number}", number).raw for number in range(first, first + 100)]
            return {"Candidates": page, "NextToken": str(first + 100)} if first < self.last else {"Candidates": page}

    for last, pages in ((200, 3), (10_000, 8)):
        jobs = Many(clock)
        jobs.last = last
        board = listed_once(jobs)
        assert len(jobs.listings) == pages
        assert len(board.candidates) == 100 * pages
        assert board.candidates[0].name == f"c{100 * pages - 1}"


@both_shells
def test_remaining_pages_are_read_in_the_next_pause(shell: str) -> None:
    """Each pause reads some pages, and the condition is evaluated on all of them."""

    class Many(Listed):
        def list_candidates(self, job_name: str, token: str | None) -> Mapping[str, Any]:
            first = int(token or 0)
            self.listings.append(first)
            self.clock.advance(1)
            page = [candidate(f"c{number}", number).raw for number in range(first, first + 100)]
            return {"Candidates": page, "NextToken": str(first + 100)} if first < 600 else {"Candidates": page}

    jobs = Many(ManualClock())
    events = watched(jobs, wait_options(until=f"{VALUE} > `650`", poll=5), shell=shell)
    assert jobs.listings == [0, 100, 200, 300, 400, 500, 600]
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.secondary_status == "ModelTuning"


def test_throttled_listing_of_candidates_does_not_slow_polls() -> None:
    """Listing candidates backs off by itself; the polls keep their pace."""
    calm, throttled = Listed(ManualClock()), Listed(ManualClock())
    throttled.problems = [throttle()] * 1000
    for jobs in (calm, throttled):
        watched(jobs, with_view())
    assert len(throttled.listings) < len(calm.listings)
    assert throttled.bucket.slowdown(throttled.clock.monotonic()) == 1.0
    assert abs(len(throttled.looks) - len(calm.looks)) <= len(calm.looks) / 3


def test_long_pause_has_a_visible_event_every_four_minutes() -> None:
    """Listing candidates during a pause does not suppress the heartbeats."""
    jobs = Listed(ManualClock())
    events = watched(jobs, wait_options(until=f"{VALUE} > `2`", poll=900))
    times = [event.at for event in events if event.event in ("transition", "poll", "heartbeat", "outcome")]
    assert max((after - before).total_seconds() for before, after in itertools.pairwise(times)) <= 240
    beats = [event for event in events if isinstance(event, Heartbeat)]
    assert [beat.next_in for beat in beats[:3]] == [660.0, 420.0, 180.0]


def test_report_retries_a_listing() -> None:
    """A single listing is retried for some seconds; the error that remains is in the result."""
    clock = ManualClock()
    jobs = Listed(clock)
    jobs.add("churn", JOB, start=1400)
    jobs.problems = [throttle(), no_network()]
    board = listed_once(jobs)
    jobs.problems = [no_network()] * 100
    assert len(board.candidates) == 7
    assert board.error is None
    assert isinstance(listed_once(jobs).error, ServiceUnavailable)


# Waiting for a candidate that is good enough


@both_shells
def test_good_candidate_ends_the_wait_while_the_job_trains(shell: str) -> None:
    """`until` over BestCandidate is evaluated on the listing: the response names the best one only after training."""
    jobs = Listed(ManualClock())
    outcome = watched(jobs, wait_options(until=f"{VALUE} > `0.7`"), shell=shell)[-1]
    assert isinstance(outcome, Ended)
    assert (outcome.outcome.verdict, outcome.outcome.exit_code) == ("condition_met", 0)
    assert outcome.outcome.secondary_status == "ModelTuning"
    assert outcome.outcome.best_candidate is not None
    assert outcome.outcome.to_dict()["best_candidate"] == {"name": "churn-006", "metric": "F1", "value": 0.728}
    assert "BestCandidate" not in outcome.outcome.to_dict()["describe"]


@both_shells
def test_job_with_a_good_candidate_is_stopped(shell: str) -> None:
    """With stop_on the stop request follows within two minutes, and the exit code is 0."""
    jobs = Listed(ManualClock())
    events = watched(jobs, wait_options(until=f"{VALUE} > `0.7`", stop_on="until", poll=290), shell=shell)
    assert isinstance(events[-1], Ended)
    outcome = events[-1].outcome
    assert (jobs.stops, outcome.verdict, outcome.exit_code, outcome.status) == (1, "condition_met", 0, "Stopped")
    stopped = next(event for event in events if event.event == "stop_requested")
    assert (stopped.at - (outcome.created_at or stopped.at)).total_seconds() < 800 + CANDIDATES_EVERY_S
    assert jobs.clock.monotonic() < 800 + CANDIDATES_EVERY_S + 60 + 10
    assert outcome.best_candidate is not None


@both_shells
def test_good_enough_stops_the_job_at_the_first_candidate_that_reaches_the_value(shell: str) -> None:
    """`good_enough` combines `until` on the best candidate with `stop_on="until"`."""
    jobs = Listed(ManualClock())
    events = watched(jobs, wait_options(good_enough=0.728), shell=shell)
    assert isinstance(events[-1], Ended)
    outcome = events[-1].outcome
    assert (jobs.stops, outcome.verdict, outcome.exit_code, outcome.status) == (1, "condition_met", 0, "Stopped")
    assert outcome.to_dict()["best_candidate"] == {"name": "churn-006", "metric": "F1", "value": 0.728}


def test_good_enough_that_no_candidate_reaches_ends_with_15() -> None:
    """The job completes, and the outcome says that no candidate reached the value."""
    jobs = Listed(ManualClock())
    events = watched(jobs, wait_options(good_enough=1))
    assert isinstance(events[-1], Ended)
    outcome = events[-1].outcome
    assert (jobs.stops, outcome.verdict, outcome.exit_code) == (0, "condition_not_met", 15)


@pytest.mark.parametrize(
    ("best", "value", "is_enough"),
    [
        (candidate("a", 0.9), 0.9, True),
        (candidate("a", 0.9), 0.91, False),
        (candidate("a", 0.9, metric="RMSE", kind="Minimize"), 0.9, True),
        (candidate("a", 0.9, metric="RMSE", kind="Minimize"), 0.89, False),
        (candidate("a", 0.9, metric="RMSE", kind=None), 1, True),
        (candidate("a", 0.9, CandidateStatus="InProgress"), 0.5, False),
        (candidate("a", None), 0.5, False),
        (None, 0.5, False),
    ],
)
def test_good_enough_is_an_upper_bound_for_a_minimized_metric(
    best: Candidate | None, value: float, is_enough: bool
) -> None:
    """Only a completed candidate counts, because only that one has a model."""
    condition = wait_options(good_enough=value).until
    assert condition is not None
    assert condition(Snapshot({"BestCandidate": best.raw} if best else {})) is is_enough


@pytest.mark.parametrize(
    "more", [{"until": "Completed"}, {"stop_on": "until"}, {"stop_on": ["timeout", "until"], "timeout": 5}]
)
def test_good_enough_excludes_until_and_stop_on_until(more: Any) -> None:
    """`good_enough` implies both; it can be combined with a stop at the timeout."""
    with pytest.raises(InvalidRequest, match="good enough cannot be combined with until"):
        wait_options(good_enough=0.9, **more)
    assert wait_options(good_enough=0.9, stop_on="timeout", timeout=5).stop_on == {"until", "timeout"}


def test_condition_on_something_else_lists_no_candidates() -> None:
    """Such a wait needs no permission to list candidates."""
    jobs = Listed(ManualClock())
    watched(jobs, wait_options(until="ResolvedAttributes.AutoMLJobObjective.MetricName == 'AUC'"))
    assert jobs.listings == []


def test_denied_listing_falls_back_to_the_response_with_a_warning() -> None:
    """The condition is evaluated on the describe response only, and is met later."""
    jobs = Listed(ManualClock())
    jobs.problems = [AccessDenied("may not")] * 100
    events = watched(jobs, wait_options(until=f"{VALUE} > `0.7`"))
    [warning] = [event for event in events if isinstance(event, Warned)]
    assert warning.message == "the condition is evaluated on the describe response only: may not"
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.verdict == "condition_met"
    assert events[-1].outcome.secondary_status == "GeneratingExplainabilityReport"


def test_repeatedly_failing_listing_warns_once() -> None:
    """A single failure is silent; repeated failures warn once, and the listing is still retried."""
    jobs = Listed(ManualClock())
    jobs.problems = [no_network()] * 4
    events = watched(jobs, wait_options(until=f"{VALUE} > `0.8`"))
    [warning] = [event for event in events if isinstance(event, Warned)]
    assert warning.message.startswith(
        "the condition is evaluated on the describe response only: ListCandidatesForAutoMLJob failed"
    )
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.verdict == "condition_met"


@pytest.mark.parametrize("second", [*range(700, 1400, 20)])
def test_job_is_polled_after_a_sleep_before_the_wait_times_out(second: int) -> None:
    """A machine that slept past the deadline polls the job once more, also if a listing was due."""
    clock = Sleepy([(second, 7220)])
    jobs = Listed(clock)
    events = watched(jobs, wait_options(until=f"{VALUE} > `2`", timeout=5400))
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.verdict == "condition_not_met"
    assert events[-1].outcome.status == "Completed"


def test_response_takes_precedence_over_listed_candidates() -> None:
    """Once a response names the best candidate, the condition is evaluated on that."""
    jobs = Listed(ManualClock())
    jobs.change = lambda response: (
        response | {"BestCandidate": {**response["BestCandidate"], "CandidateName": "it"}}
        if "BestCandidate" in response
        else response
    )
    events = watched(jobs, wait_options(until="BestCandidate.CandidateName == 'it'"))
    assert isinstance(events[-1], Ended)
    assert events[-1].outcome.verdict == "condition_met"


def test_deadline_holds_while_candidates_are_listed() -> None:
    """A slow listing just before the deadline does not delay the end of the wait."""
    jobs = Listed(ManualClock())
    jobs.seconds = 0.95
    watched(jobs, wait_options(until=f"{VALUE} > `0.99`", timeout=650, poll=49))
    assert jobs.clock.monotonic() <= 651


# The syntax of the condition


@pytest.mark.parametrize(
    ("until", "hint"),
    [
        (f"{VALUE} > 0.9", "a number stands in backticks, as in Value > `0.9`"),
        ("length(@", "is neither a status nor JMESPath"),
        ("Quux", "use a phase like ModelTuning, a status like Completed, or JMESPath like BestCandidate.CandidateName"),
        ("ModelTunning", "did you mean ModelTuning?"),
        ("ModelDeployResult.Quux", "there are EndpointName"),
    ],
)
def test_invalid_condition_gets_a_hint(until: str, hint: str) -> None:
    """A number without backticks, an unknown word and a misspelled one each get their own hint."""
    with pytest.raises(InvalidRequest) as raised:
        wait_options(until=until)
    assert hint in str(raised.value)
    assert ("backticks" in str(raised.value)) is ("> 0.9" in until)
