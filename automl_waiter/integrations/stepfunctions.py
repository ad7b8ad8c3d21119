"""The wait as a Step Functions definition: the same statuses, success rules and deadline, in Amazon States Language.

It uses JSONPath, in which no state can read the time. A countdown of the pauses replaces the clock, so the wait
exceeds its timeout by the duration of the calls. https://states-language.net/spec.html
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from automl_waiter._model import errors
from automl_waiter._model.statuses import STAGES, SecondaryStatus, Stage, Status
from automl_waiter._model.verdicts import DEFAULT_REQUIREMENT, EXPLANATIONS, Part

DEFAULT_TIMEOUT = 72 * 3600.0

# A history ends the execution at 25,000 events (AWS, "Step Functions service quotas"). A poll takes eleven: five for
# the call, and two each for the choice, the pause and the countdown. A fifth is reserved for retried calls.
_EVENTS_FOR_POLLS = 20_000
EVENTS_PER_POLL = 11
# For the phases before the end, while they are short: 240 polls take an hour.
_SHORT_PAUSE = 15
_LONG_PAUSE = 90
_SHORT_POLLS = 240
# For failing and retried calls, before the execution itself times out.
_OVERTIME = 3600
_LONGEST_TIMEOUT = 364 * 86400.0  # an execution lasts a year at most

_STATUS = "$.Job.AutoMLJobStatus"
_SECONDARY = "$.Job.AutoMLJobSecondaryStatus"
_DEPLOY = "$.Job.ModelDeployConfig"
_DEFINITIONS_ONLY = "$.Job.AutoMLProblemTypeConfig.TabularJobConfig.GenerateCandidateDefinitionsOnly"

Rule = dict[str, Any]


def state_machine(
    *, timeout: float = DEFAULT_TIMEOUT, required: Collection[Part] = frozenset(DEFAULT_REQUIREMENT)
) -> dict[str, Any]:
    """Return the definition of a standard workflow: input {"AutoMLJobName": ...}, output the job's last response.

    An execution that does not succeed fails with the name of an error class of this library, and a cause.

    Args:
        timeout: Seconds for the whole wait.
        required: The required parts of a success.

    Raises:
        InvalidRequest: The timeout is not between a second and 364 days.
    """
    if not 1 <= timeout <= _LONGEST_TIMEOUT:
        raise errors.InvalidRequest(f"a state machine's timeout is 1 second to 364 days, not {timeout:g} seconds")
    seconds = math.ceil(timeout)
    pause = long_pause(seconds)
    missing = {part: "Missing" + part.title().replace("-", "") for part in Part if part in required}
    states = {
        "Begin": _counting({"Left": seconds, "Short": _SHORT_POLLS}),
        "Describe": _describe(),
        "How": {"Type": "Choice", "Choices": _choices(pause), "Default": "Pause"},
        **_pause("Pause", {"Seconds": pause}, {"Left.$": f"States.MathAdd($.Left, -{pause})", "Short.$": "$.Short"}),
        **_pause(
            "ShortPause",
            {"Seconds": _SHORT_PAUSE},
            {"Left.$": f"States.MathAdd($.Left, -{_SHORT_PAUSE})", "Short.$": "States.MathAdd($.Short, -1)"},
        ),
        **_pause("LastPause", {"SecondsPath": "$.Left"}, {"Left": 0, "Short.$": "$.Short"}),
        "IsComplete": {"Type": "Pass", "Next": "Completed"},
        "Completed": {"Type": "Succeed", "OutputPath": "$.Job"},
        **{name: _fail(errors.JobDegraded, f"Completed, but {EXPLANATIONS[part]}") for part, name in missing.items()},
        "Failed": {"Type": "Fail", "Error": errors.JobFailed.__name__, "CausePath": "$.Job.FailureReason"},
        "FailedWithoutReason": _fail(errors.JobFailed, "AWS gives no reason"),
        "Stopped": _fail(errors.JobStopped, "The job was stopped"),
        "TimedOut": _fail(errors.WaitTimeout, f"The job has not ended within {seconds} seconds, and goes on"),
        "NotFound": _fail(errors.JobNotFound, "There is no AutoML job of this name in this account and region"),
        "Denied": _fail(errors.AccessDenied, "Allow the role of this state machine sagemaker:DescribeAutoMLJobV2"),
        "Unavailable": {"Type": "Fail", "Error": errors.ServiceUnavailable.__name__, "CausePath": "$.Error.Cause"},
        # If AWS gives a denial no error name of its own, only the message shows it.
        "IsDenied": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.Error.Cause", "StringMatches": "*not authorized to perform*", "Next": "Denied"}
            ],
            "Default": "Unavailable",
        },
    }
    if missing:  # a Choice has at least one rule
        rules = [_MISSING[part] | {"Next": name} for part, name in missing.items()]
        states["IsComplete"] = {"Type": "Choice", "Choices": rules, "Default": "Completed"}
    return {
        "Comment": "Waits until an Amazon SageMaker AutoML job has ended. Made by automl-waiter export asl.",
        "StartAt": "Begin",
        # The countdown covers only the pauses; this timeout also ends a wait whose calls keep failing.
        "TimeoutSeconds": seconds + _OVERTIME,
        "States": states,
    }


def long_pause(timeout: float) -> int:
    """Return the seconds between two polls of a training job: 90, or more to fit the history."""
    polls = _EVENTS_FOR_POLLS / EVENTS_PER_POLL - _SHORT_POLLS
    return math.ceil(max(_LONG_PAUSE, timeout / polls))


def _counting(counters: dict[str, Any]) -> dict[str, Any]:
    """Return a state that keeps the job's name and the counters; a poll follows."""
    return {"Type": "Pass", "Parameters": {"AutoMLJobName.$": "$.AutoMLJobName", **counters}, "Next": "Describe"}


def _pause(name: str, wait: dict[str, Any], counters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the states of a pause: it waits and counts down; a poll follows."""
    after = f"After{name}"
    return {name: {"Type": "Wait", **wait, "Next": after}, after: _counting(counters)}


def _describe() -> dict[str, Any]:
    not_found = ["SageMaker.ResourceNotFoundException", "SageMaker.ResourceNotFound"]
    denied = ["SageMaker.AccessDeniedException"]
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeAutoMLJobV2",
        "Parameters": {"AutoMLJobName.$": "$.AutoMLJobName"},
        "ResultPath": "$.Job",
        "TimeoutSeconds": 60,
        "Retry": [
            # A job that was created just now may not be found yet.
            {"ErrorEquals": not_found, "IntervalSeconds": 2, "BackoffRate": 1, "MaxAttempts": 5},
            {"ErrorEquals": denied, "MaxAttempts": 0},
            # Throttling has no name of its own among the errors of SDK integrations. 17 attempts take a quarter of an
            # hour, less the full jitter.
            {
                "ErrorEquals": ["States.ALL"],
                "IntervalSeconds": 2,
                "BackoffRate": 2,
                "MaxDelaySeconds": 75,
                "JitterStrategy": "FULL",
                "MaxAttempts": 17,
            },
        ],
        "Catch": [
            {"ErrorEquals": not_found, "ResultPath": "$.Error", "Next": "NotFound"},
            {"ErrorEquals": denied, "ResultPath": "$.Error", "Next": "Denied"},
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.Error", "Next": "IsDenied"},
        ],
        "Next": "How",
    }


def _choices(pause: int) -> list[Rule]:
    """Return the rules after a poll: the end, the deadline, or the pause for the phase."""
    near_end = (Stage.REPORTING, Stage.FINISHING, Stage.DEPLOYING)
    secondaries = sorted({str(state.secondary_status) for state, stage in STAGES.items() if stage in near_end})
    has_failed = _equals(_STATUS, Status.FAILED)
    return [
        _equals(_STATUS, Status.COMPLETED) | {"Next": "IsComplete"},
        {"And": [has_failed, _is_present("$.Job.FailureReason")], "Next": "Failed"},
        has_failed | {"Next": "FailedWithoutReason"},
        _equals(_STATUS, Status.STOPPED) | {"Next": "Stopped"},
        {"Variable": "$.Left", "NumericLessThanEquals": 0, "Next": "TimedOut"},
        {"Variable": "$.Left", "NumericLessThanEquals": _SHORT_PAUSE, "Next": "LastPause"},
        {
            "And": [
                {"Variable": "$.Short", "NumericGreaterThan": 0},
                {"Or": [_equals(_SECONDARY, secondary) for secondary in secondaries]},
            ],
            "Next": "ShortPause",
        },
        {"Variable": "$.Left", "NumericLessThanEquals": pause, "Next": "LastPause"},
    ]


def _fail(error: type[Exception], cause: str) -> dict[str, Any]:
    return {"Type": "Fail", "Error": error.__name__, "Cause": cause}


def _equals(path: str, value: str) -> Rule:
    return {"Variable": path, "StringEquals": str(value)}


def _is_present(path: str) -> Rule:
    return {"Variable": path, "IsPresent": True}


def _is_true(path: str) -> Rule:
    return {"And": [_is_present(path), {"Variable": path, "BooleanEquals": True}]}


def _not(rule: Rule) -> Rule:
    return {"Not": rule}


_IS_ASKED_FOR = {"Or": [_is_present(f"{_DEPLOY}.EndpointName"), _is_true(f"{_DEPLOY}.AutoGenerateEndpointName")]}
_IS_NOT_DEPLOYED = {
    "Or": [
        _not(_is_present("$.Job.ModelDeployResult.EndpointName")),
        _equals(_SECONDARY, SecondaryStatus.MODEL_DEPLOYMENT_ERROR),
    ]
}
# botocore's model: a list of one to five. The first shows whether there is any.
_MESSAGE = "$.Job.PartialFailureReasons[0].PartialFailureMessage"
_MISSING = {
    Part.BEST_CANDIDATE: {"And": [_not(_is_present("$.Job.BestCandidate")), _not(_is_true(_DEFINITIONS_ONLY))]},
    Part.ENDPOINT: {"And": [_IS_ASKED_FOR, _IS_NOT_DEPLOYED]},
    Part.EXPLAINABILITY: _equals(_SECONDARY, SecondaryStatus.EXPLAINABILITY_ERROR),
    Part.INSIGHTS: _equals(_SECONDARY, SecondaryStatus.MODEL_INSIGHTS_ERROR),
    Part.NO_PARTIAL_FAILURES: {"And": [_is_present(_MESSAGE), _not(_equals(_MESSAGE, ""))]},
}
"""The rules by which a Completed job lacks a part, as in `outcome.shortfalls_of`."""
