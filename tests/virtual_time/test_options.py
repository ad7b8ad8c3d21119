"""Options and job arguments: durations, misspelled keywords, bad values, several names for one job."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

import automl_waiter
from automl_waiter import (
    ExitCode,
    Fixed,
    InvalidRequest,
    Outcome,
    Transition,
    Verdict,
    Waiter,
    aio,
    describe,
    wait_for,
    wait_for_all,
    watch,
)
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import DEFAULTS, wait_options
from automl_waiter._model.polling import Exponential
from automl_waiter.testing import ScriptedJobs, Timeline, simulate, simulated_jobs

__all__ = ["simulated_jobs"]

ARN = "arn:aws:sagemaker:us-east-1:123456789012:automl-job/churn"
DONE = Timeline([(0, "InProgress", "ModelTuning"), (60, "Completed", "Completed")])

waits: list[Callable[..., Any]] = [
    lambda **options: wait_for("churn", **options),
    lambda **options: wait_for_all(["churn"], **options),
    lambda **options: automl_waiter.as_completed(["churn"], **options),
    lambda **options: watch("churn", **options),
    lambda **options: aio.as_completed(["churn"], **options),
    lambda **options: aio.watch("churn", **options),
    Waiter,
    aio.Waiter,
]


class TestDurations:
    @pytest.mark.parametrize("five_minutes", [300, 300.0, timedelta(minutes=5), "300", "5m", "0h5m"])
    def test_a_duration_is_seconds_a_timedelta_or_text(self, five_minutes: Any) -> None:
        """Every duration option takes the three forms."""
        options = wait_options(timeout=five_minutes, poll=five_minutes, error_budget=five_minutes)
        assert (options.timeout, options.error_budget) == (300.0, 300.0)
        first_poll: Any = SimpleNamespace(polls=1, random=lambda: 0.5, slowdown=1.0)
        assert options.poll.next_delay(first_poll) == 300
        assert Exponential(five_minutes, five_minutes).next_delay(first_poll) == 300

    @pytest.mark.parametrize("a_minute", [60, timedelta(minutes=1), "1m"])
    def test_simulate_takes_durations_too(self, a_minute: Any) -> None:
        """`simulate` takes durations in every form."""
        assert simulate(DONE, poll=a_minute, timeout=a_minute).calls == 2
        assert simulate(DONE, start=a_minute).calls == 1

    @pytest.mark.parametrize("bad", ["soon", "", "5 minutes", True, [5], object()])
    @pytest.mark.parametrize("name", ["timeout", "error_budget", "poll"])
    def test_invalid_duration_is_refused(self, name: str, bad: Any) -> None:
        """The error is one line, and also a ValueError."""
        with pytest.raises(ValueError, match=r"duration|seconds") as refused:
            wait_options(**{name: bad})
        assert isinstance(refused.value, InvalidRequest)
        assert "\n" not in str(refused.value)

    def test_a_poll_below_a_tenth_of_a_second_needs_a_max_rate(self) -> None:
        """Such an interval would raise the default rate limit unreasonably."""
        with pytest.raises(InvalidRequest, match="needs a max rate"):
            wait_options(poll=0.0001)
        assert wait_options(poll=0.0001, max_rate=10).max_rate == 10
        assert wait_options(poll=0.1).max_rate == 20


class TestWhenTheFunctionIsCalled:
    @pytest.mark.parametrize("wait", waits)
    def test_a_misspelled_keyword_is_a_type_error(self, wait: Callable[..., Any]) -> None:
        """The call itself raises, and names the nearest option."""
        with pytest.raises(TypeError, match="unexpected keyword argument 'timout': did you mean 'timeout'"):
            wait(timout=4)

    @pytest.mark.parametrize(
        "bad",
        [
            {"client": boto3.Session()},
            {"until": 5},
            {"good_enough": True},
            {"estimate": "yes"},
            {"good_enough": float("nan")},
            {"good_enough": "0.9"},
            {"require": None},
            {"require": "endpont"},
            {"stop_on": None},
            {"poll": Fixed},
            {"on_transition": "print"},
            {"max_rate": "5"},
            {"timeout": 1e300},
            {"poll": 10**400},
            {"error_budget": timedelta.max},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("wait", waits)
    def test_bad_value_raises_at_the_call(self, wait: Callable[..., Any], bad: dict[str, Any]) -> None:
        """The call itself raises, not the first `next`."""
        with pytest.raises(InvalidRequest) as refused:
            wait(**bad)
        assert "\n" not in str(refused.value)

    def test_asyncio_functions_take_no_cancel_event(self) -> None:
        """Under asyncio the task is cancelled instead."""
        with pytest.raises(TypeError, match="'cancel_event'"):
            aio.Waiter(cancel_event=None)  # type: ignore[call-arg]
        with pytest.raises(InvalidRequest, match="cancel_event"):
            Waiter(cancel_event="now")  # type: ignore[typeddict-item]

    @pytest.mark.parametrize("plural", [wait_for_all, automl_waiter.as_completed, aio.as_completed])
    @pytest.mark.parametrize("jobs", ["p1", {"AutoMLJobName": "p1"}, 5])
    def test_one_string_for_several_jobs_is_refused(self, plural: Callable[..., Any], jobs: Any) -> None:
        """A string is one job, not a list of characters."""
        with pytest.raises(InvalidRequest, match="where several jobs belong"):
            plural(jobs)

    @pytest.mark.parametrize("jobs", [["a", "b"], ("a",), {"a"}])
    def test_several_jobs_for_one_are_refused_with_the_right_function(self, jobs: Any) -> None:
        """The error names the function that takes several jobs."""
        with pytest.raises(InvalidRequest, match="wait_for_all"):
            wait_for(jobs)

    @pytest.mark.parametrize(
        "function", [wait_for, wait_for_all, automl_waiter.as_completed, watch, Waiter, aio.wait_for, aio.Waiter]
    )
    def test_every_option_is_in_the_signature(self, function: Callable[..., Any]) -> None:
        """Completion and documentation show each option with its default."""
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
        assert {"on_transition", "on_event"} <= parameters.keys()
        assert not [one for one in parameters.values() if one.kind is inspect.Parameter.VAR_KEYWORD]


class TestWhichJob:
    def test_snapshot_outcome_and_transition_are_accepted_as_a_job(self, simulated_jobs: ScriptedJobs) -> None:
        """What the library returns can be passed as the job, ARN included."""
        simulated_jobs.add("churn", DONE)
        seen: list[Transition] = []
        outcome = wait_for("churn", on_transition=seen.append)
        for known in (outcome, describe(outcome), seen[0]):
            assert job_ref(known).arn == outcome.arn
            assert wait_for(known).arn == outcome.arn

    def test_outcome_of_a_missing_job_keeps_its_arn(self) -> None:
        """The region in the given ARN says where to search again."""
        arn = ARN.replace("us-east-1", "eu-west-1")
        never_seen = Outcome(job=arn, job_name="churn", verdict=Verdict.ERROR, exit_code=ExitCode(69))
        assert job_ref(never_seen) == job_ref(arn)

    def test_one_job_under_several_names_is_polled_and_delivered_once(self, simulated_jobs: ScriptedJobs) -> None:
        """Each given name is a key of the result."""
        simulated_jobs.add("churn", DONE)
        wait_for("churn", poll=10)
        calls = simulated_jobs.calls
        names = ["churn", "CHURN", ARN, "churn"]
        simulated_jobs.add("churn", DONE)
        outcomes = wait_for_all(names, poll=10)
        assert list(outcomes) == ["churn", "CHURN", ARN]
        assert len(set(map(id, outcomes.values()))) == 1
        assert simulated_jobs.calls == 2 * calls
        assert len(list(automl_waiter.as_completed(names))) == 1

    def test_same_name_in_two_accounts_is_two_jobs(self, simulated_jobs: ScriptedJobs) -> None:
        """An ARN of another account names another job."""
        simulated_jobs.add("churn", DONE)
        other = ARN.replace("123456789012", "999999999999")
        outcomes = wait_for_all([ARN, other])
        assert outcomes[ARN].verdict == "completed"
        assert outcomes[other].verdict == "replaced"


class TestTheCandidateThatMetTheCondition:
    def test_it_stays_the_outcomes_best_candidate_after_the_stop(self, simulated_jobs: ScriptedJobs) -> None:
        """A stopped job may show no candidate, or another one; the snapshot stays as AWS returned it."""
        simulated_jobs.add("churn", Timeline([(0, "InProgress", "GeneratingExplainabilityReport")]))
        describing = simulated_jobs.describe

        def without_a_candidate_once_stopped(job_name: str) -> Any:
            response = dict(describing(job_name))
            candidate = {
                "CandidateName": "c1",
                "CandidateStatus": "Completed",
                "CreationTime": response["CreationTime"],
            }
            if response["AutoMLJobStatus"] == "InProgress":
                response["BestCandidate"] = candidate
            return response

        simulated_jobs.describe = without_a_candidate_once_stopped  # type: ignore[method-assign]
        outcome = wait_for("churn", until="BestCandidate.CandidateName == 'c1'", stop_on="until")
        assert outcome.ok
        assert outcome.status == "Stopped"
        assert outcome.best_candidate is not None
        assert outcome.best_candidate.name == "c1"
        assert outcome.snapshot is not None
        assert outcome.snapshot.best_candidate is None


def test_outcome_is_ok_if_its_exit_code_is_0() -> None:
    """`check` raises unless `ok` is true."""
    failed, completed = (simulate(job).outcome for job in (Timeline([(0, "Failed", "Failed")]), DONE))
    assert (failed.ok, completed.ok) == (False, True)
