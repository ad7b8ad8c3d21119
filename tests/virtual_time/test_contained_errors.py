"""Errors that no AWS call returned: the caller's code raises, or the library has a bug. Each ends one job's wait only."""

import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from listing_service import Job, Service, listing_as, script
from virtual import COMPLETED, ENDLESS, Faulty, Wait, both_shells, kernel_of, no_network, run

from automl_waiter import (
    AutoMLWaiterError,
    Ended,
    Event,
    InternalError,
    InvalidRequest,
    Notice,
    Outcome,
    ServiceUnavailable,
    Verdict,
    Warned,
    wait_for,
    wait_for_all,
    waiter,
)
from automl_waiter._engine.watch import Matching
from automl_waiter._model.errors import internal_error
from automl_waiter._model.options import WaitOptions, wait_options
from automl_waiter._wiring import watch_kernel
from automl_waiter.testing import ManualClock, ScriptedJobs, Timeline, simulated_jobs  # noqa: F401

BUG = "a bug in automl-waiter, please report it"


def outcomes_of(options: WaitOptions, change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Outcome]:
    """Return the outcomes of two waits; `change` alters the responses about `a`."""
    clock = ManualClock()
    gateways = [Faulty(clock), Faulty(clock)]
    gateways[0].change = change
    for name, gateway in zip("ab", gateways, strict=True):
        gateway.add(name, COMPLETED)
    events = run("ab", gateways, options, clock)
    return {event.outcome.job: event.outcome for event in events if isinstance(event, Ended)}


def raising(snapshot: Any) -> bool:
    """A condition that raises for job `a`."""
    return bool(1 / (snapshot.name != "a")) and snapshot.status == "Completed"


class Raising:
    """A policy that raises for job `a`."""

    def next_delay(self, context: Any, /) -> float:
        return 30 / (context.snapshot.name != "a")


# The caller's own code


@pytest.mark.parametrize(
    ("options", "verdict", "words"),
    [
        ({"until": raising}, Verdict.CONDITION_MET, "until raised ZeroDivisionError: division by zero"),
        ({"poll": Raising()}, Verdict.COMPLETED, "Raising.next_delay raised ZeroDivisionError: division by zero"),
    ],
)
def test_exception_in_the_callers_code_ends_only_that_jobs_wait(
    options: dict[str, Any], verdict: Verdict, words: str
) -> None:
    """That job's outcome is an error with exit code 2 that names the function; the other wait continues."""
    outcomes = outcomes_of(wait_options(**options))
    assert (outcomes["a"].verdict, outcomes["a"].exit_code, str(outcomes["a"].error)) == (Verdict.ERROR, 2, words)
    assert isinstance(outcomes["a"].error.__cause__ if outcomes["a"].error else None, ZeroDivisionError)
    assert (outcomes["b"].verdict, outcomes["b"].exit_code) == (verdict, 0)
    with pytest.raises(InvalidRequest, match="raised ZeroDivisionError") as raised:
        outcomes["a"].check()
    assert pickle.loads(pickle.dumps(raised.value)).outcome.to_dict() == outcomes["a"].to_dict()


def test_wait_for_raises_the_error_of_the_callers_code(simulated_jobs: ScriptedJobs) -> None:  # noqa: F811
    """`wait_for` raises; `wait_for_all` returns the outcome."""
    simulated_jobs.add("a", COMPLETED)
    with pytest.raises(InvalidRequest, match="until raised ZeroDivisionError") as raised:
        wait_for("a", until=raising)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert wait_for_all(["a"], until=raising)["a"].exit_code == 2


def test_library_error_raised_in_a_condition_keeps_its_exit_code() -> None:
    """A condition that calls this library may raise its errors."""

    def until(_: Any) -> bool:
        raise ServiceUnavailable("no describe of another job")

    assert Wait(ENDLESS, until=until).outcome.exit_code == 69


# Conditions with invalid comparisons


@pytest.mark.parametrize(
    ("expression", "right"),
    [
        (
            "BestCandidate.FinalAutoMLJobObjectiveMetric.Value > '0.9'",
            "BestCandidate.FinalAutoMLJobObjectiveMetric.Value > `0.9`",
        ),
        ("'5' < ResolvedAttributes.CompletionCriteria.MaxCandidates", "`5` < Resolved"),
        ('BestCandidate.FinalAutoMLJobObjectiveMetric.Value == `"0.9"`', "Value == `0.9`"),
        ("BestCandidate.CandidateProperties.CandidateMetrics[?Value >= '0.9'] | [0]", "[?Value >= `0.9`] | [0]"),
        ("AutoMLJobName && length(PartialFailureReasons) > '1'", "length(PartialFailureReasons) > `1`"),
        ("DataSplitConfig.ValidationFraction > 'much'", "write Value > `0.9`"),
    ],
)
def test_quoted_number_is_refused_before_the_first_call(expression: str, right: str) -> None:
    """The message shows the expression with the number in backticks."""
    with pytest.raises(InvalidRequest, match="in quotes is text; a number stands in backticks") as raised:
        wait_options(until=expression)
    assert right in str(raised.value)


@pytest.mark.parametrize(
    "expression",
    ["AutoMLJobStatus > '0'", "EndTime > '2026'", "'a' == 'b'", "to_string(`1`) == '1'", "CreationTime == Newer"],
)
def test_text_may_be_compared_with_text(expression: str) -> None:
    """Only numbers need backticks."""
    if "Newer" in expression:
        with pytest.raises(InvalidRequest, match="neither a status nor a member"):
            wait_options(until=expression)
    else:
        wait_options(until=expression)


@pytest.mark.parametrize("expression", ["nosuch(AutoMLJobName)", "length(AutoMLJobName, AutoMLJobArn)"])
def test_unknown_function_is_refused_before_the_first_call(expression: str) -> None:
    """JMESPath itself reports it only at the first evaluation, which may be hours later."""
    with pytest.raises(InvalidRequest, match=r"nosuch|length"):
        wait_options(until=expression)


@pytest.mark.parametrize("expression", ["CreationTime > `5`", "sum(PartialFailureReasons) > `5`", "floor(`1e400`)"])
def test_condition_that_fails_to_evaluate_is_not_met_and_warns_once(expression: str) -> None:
    """The wait ends with the job, as if the condition were false."""
    reasons = [{"PartialFailureMessage": "a"}]
    wait = Wait(COMPLETED, until=expression, change=lambda response: response | {"PartialFailureReasons": reasons})
    assert wait.outcome.exit_code == 15
    words = "the condition cannot be evaluated and counts as not met ("
    warnings = [event for event in wait.events if isinstance(event, Warned) and event.message.startswith(words)]
    assert len(warnings) == 1


# A bug


def broken(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response that the gateway would never accept."""
    return (
        response | {"AutoMLJobSecondaryStatus": object()}
        if response["AutoMLJobSecondaryStatus"] != "Starting"
        else response
    )


def test_bug_in_one_wait_ends_no_other() -> None:
    """The job's outcome has exit code 70 and the last known state; the other wait continues."""
    outcomes = outcomes_of(wait_options(), change=broken)
    a = outcomes["a"]
    assert (a.verdict, a.exit_code, a.secondary_status) == (Verdict.ERROR, 70, "Starting")
    assert str(a.error).startswith(f"{BUG} (TypeError in automl_waiter._model.")
    assert outcomes["b"].exit_code == 0
    with pytest.raises(InternalError):
        a.check()


@both_shells
def test_bug_in_reporting_the_last_response_still_gives_an_outcome(shell: str) -> None:
    """If the last response cannot be reported, the outcome has no snapshot."""
    wait = Wait(COMPLETED, shell=shell, change=lambda response: response | {"PartialFailureReasons": 5})
    assert (wait.outcome.exit_code, wait.outcome.snapshot) == (70, None)
    json.dumps(wait.outcome.to_dict())


def test_bug_in_the_estimates_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate is optional, so its failure does not end the wait."""
    for place in ("siblings.past_jobs", "siblings.Siblings.forecast"):
        monkeypatch.setattr(f"automl_waiter._engine.{place}", lambda *_: 1 / 0)
        assert Wait(COMPLETED, estimate=True).outcome.exit_code == 0


def fleet(service_change: Callable[[Service], None], options: WaitOptions) -> list[Event]:
    """Return the events of waits for eight jobs in a listing."""
    clock = ManualClock()
    service = Service(clock, [Job(f"job-{number}", 0.0, script(900)) for number in range(8)], max_rate=10)
    service_change(service)
    names = [job.name for job in service.jobs]
    return list(waiter.events_of(kernel_of(names, [service] * 8, options, clock), clock))


def page_with_a_bug(service: Service, read: Any, request: Any) -> Any:
    """Return a page that the gateway would never accept, once the wait has run for 300 s."""
    page = read(request)
    return {"AutoMLJobSummaries": [{}]} if service.clock.monotonic() > 300 else page


def test_bug_in_the_listing_falls_back_to_describing_each_job() -> None:
    """Every job ends as usual, and a notice asks the user to report the bug."""
    events = fleet(listing_as(page_with_a_bug), wait_options())
    ends = [event.outcome for event in events if isinstance(event, Ended)]
    assert len(ends) == 8
    assert all(outcome.exit_code in (0, 10) for outcome in ends)
    assert [event for event in events if isinstance(event, Notice) and BUG in event.message]


def test_bug_in_the_wait_for_a_listed_job_gives_an_outcome() -> None:
    """A job that is followed in a listing, with an estimate, ends like any other."""

    def change(service: Service) -> None:
        describe = service.describe
        service.describe = lambda name: {**describe(name), "PartialFailureReasons": 5}  # type: ignore[method-assign]

    ends = [event.outcome for event in fleet(change, wait_options(estimate=True)) if isinstance(event, Ended)]
    assert len(ends) == 8
    assert {outcome.exit_code for outcome in ends if outcome.status is None} == {70}


def test_bug_in_the_candidates_of_a_listed_job_ends_no_wait() -> None:
    """The candidates are no longer shown, and the jobs end as usual."""

    def change(service: Service) -> None:
        service.list_candidates = lambda *_: {"Candidates": [{}]}  # type: ignore[method-assign]

    options = WaitOptions(candidates_every=60.0)
    events = fleet(change, options)
    assert len([event for event in events if isinstance(event, Ended) and event.outcome.exit_code in (0, 10)]) == 8
    assert [event for event in events if isinstance(event, Warned) and BUG in event.message]


def test_bug_in_a_watch_raises_internal_error() -> None:
    """A watch of all jobs depends on its listing: it raises InternalError, which asks the user to report the bug."""
    clock = ManualClock()
    service = Service(clock, [Job("job-0", 0.0, script(900))], max_rate=10)
    listing_as(page_with_a_bug)(service)
    with pytest.raises(InternalError, match=BUG) as raised:
        list(waiter.events_of(watch_kernel(service, Matching(), wait_options(), clock), clock))
    assert isinstance(raised.value.__cause__, AttributeError)


def test_library_error_passes_through_a_watch() -> None:
    """ServiceUnavailable is not a bug, so a watch raises it unchanged."""
    clock = ManualClock()
    service = Service(clock, [Job("job-0", 0.0, script(900))], max_rate=10)

    def down(_: Any) -> Any:
        raise no_network()

    service.list_jobs = down  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        list(waiter.events_of(watch_kernel(service, Matching(), wait_options(), clock), clock))


def test_traceback_of_a_bug_is_in_the_debug_log(
    simulated_jobs: ScriptedJobs,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the usual levels the log has only the outcome."""
    simulated_jobs.add("a", COMPLETED)
    describe = simulated_jobs.describe
    simulated_jobs.describe = lambda name: broken(dict(describe(name)))  # type: ignore[method-assign]
    for level, is_there in ((logging.INFO, False), (logging.DEBUG, True)):
        caplog.clear()
        caplog.set_level(level, "automl_waiter")
        assert wait_for("a", check=False).exit_code == 70
        assert ("Traceback" in caplog.text) is is_there
        assert BUG in caplog.text


def test_internal_error_names_module_and_line() -> None:
    """Without a traceback, the module and the line help the maintainer; a long text is cut."""
    with pytest.raises(ValueError, match="Expecting value") as raised:
        json.loads("x")
    assert str(internal_error(raised.value)).startswith(f"{BUG} (JSONDecodeError in json.decoder, line ")
    assert len(str(internal_error(ValueError("x" * 10_000)))) < 500
    assert isinstance(internal_error(ValueError()), AutoMLWaiterError)
