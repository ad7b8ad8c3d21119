"""The JSON Schema of -o json and -o jsonl: the command's output is valid, and other members are not."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from enum import Enum
from typing import Any, get_args

import pytest
from families import MANY, waited
from jsonschema import Draft202012Validator
from programs import Command
from repository import ROOT
from virtual import COMPLETED, ENDLESS, FAILED, TRAINING, Wait, no_network

from automl_waiter import AccessDenied, Ended, Event, ExitCode, Part, Verdict
from automl_waiter._model.errors import TransientKind
from automl_waiter._model.events import event_dict
from automl_waiter._model.tracker import AnomalyKind
from automl_waiter.cli.output import json_line
from automl_waiter.sandbox.server import Sandbox
from automl_waiter.testing import EPOCH, Timeline

SCHEMA = json.loads((ROOT / "docs" / "reference" / "output.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
# Events that -o jsonl omits.
SILENT = ("poll", "sweep", "heartbeat")

STOPPED = Timeline([*TRAINING, (600, "Stopped", "Stopped")])
DEPLOY_ERROR = Timeline([*TRAINING, (600, "Completed", "ModelDeploymentError")], deploy=True)


def replaced(response: dict[str, Any]) -> dict[str, Any]:
    response["CreationTime"] += timedelta(seconds=response["AutoMLJobSecondaryStatus"] == "ModelTuning")
    return response


def unknown(response: dict[str, Any]) -> dict[str, Any]:
    return response | {"AutoMLJobSecondaryStatus": "Tidying"} if "EndTime" not in response else response


def waits() -> dict[str, dict[str, Any]]:
    """Return the options of waits of every kind."""
    return {
        "completed": {"timeline": COMPLETED},
        "failed": {"timeline": FAILED},
        "stopped": {"timeline": STOPPED},
        "degraded": {"timeline": DEPLOY_ERROR},
        "until": {"timeline": COMPLETED, "until": "ModelTuning"},
        "until never": {"timeline": COMPLETED, "until": "DeployingModel"},
        "good enough": {"timeline": Timeline([*TRAINING, (9000, "Completed", "Completed")]), "good_enough": 0.1},
        "timeout": {"timeline": ENDLESS, "timeout": 300, "stop_on": "timeout"},
        "auto": {"timeline": ENDLESS, "timeout": "auto"},
        "cancelled": {"timeline": ENDLESS, "cancel_at": 90},
        "not found": {"timeline": None},
        "replaced": {"timeline": COMPLETED, "change": replaced},
        "denied": {"timeline": COMPLETED, "faults": [AccessDenied("may not", code="AccessDeniedException")]},
        "one poll": {"timeline": ENDLESS, "once": True},
        "retried": {"timeline": COMPLETED, "faults": [no_network()]},
        "anomaly": {"timeline": COMPLETED, "change": unknown},
        "expiring": {"timeline": ENDLESS, "timeout": 7200, "credentials_expire_at": EPOCH + timedelta(hours=1)},
    }


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Return the events of waits of every kind, in virtual time: of one job, and of many in a listing."""
    alone = [event for options in waits().values() for event in Wait(**options).events]
    return [*alone, *waited(*MANY)[0]]


@pytest.fixture(scope="module")
def lines(events: list[Event]) -> list[dict[str, Any]]:
    """Return what -o jsonl prints."""
    return [json.loads(json_line(event_dict(event))) for event in events if event.event not in SILENT]


@pytest.fixture(scope="module")
def documents(events: list[Event]) -> list[dict[str, Any]]:
    """Return what -o json prints, of each job alone."""
    outcomes = [event.outcome for event in events if isinstance(event, Ended)]
    return [json.loads(json_line({"exit_code": int(one.exit_code), "jobs": [one.to_dict()]})) for one in outcomes]


def test_printed_json_is_valid(documents: list[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    for document in documents:
        VALIDATOR.validate(document)
    for line in lines:
        VALIDATOR.validate(line)


def test_waits_of_every_kind_are_validated(documents: list[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    assert {job["verdict"] for document in documents for job in document["jobs"]} == set(Verdict)
    kinds = SCHEMA["$defs"]["event"]["properties"]["event"]["enum"]
    assert {line["event"] for line in lines} == set(kinds)
    assert {kind.event for kind in get_args(Event)} == {*kinds, *SILENT}


@pytest.mark.parametrize("words", [["wait", "--poll", "0.1s"], ["status", "absent"]])
def test_output_of_the_command_is_valid(inside: Command, new_job: Callable[[str], str], words: list[str]) -> None:
    """Several jobs are in one document, and each has its lines."""
    words = [*words, *map(new_job, ("completed", "failed", "deploy-error")), "-o"]
    lines = inside(*words, "jsonl").stdout.splitlines()
    for line in lines:
        VALIDATOR.validate(json.loads(line))
    document = json.loads(inside(*words, "json").stdout)
    VALIDATOR.validate(document)
    assert len(lines) > len(document["jobs"]) >= 3


def test_output_of_a_watch_is_valid(inside: Command, endpoint: Sandbox) -> None:
    endpoint.create_job("schema-of-a-watch", scenario="completed")
    words = ["watch", "--name-contains", "schema-of-a-watch", "--since", "1h", "--until-idle", "--poll", "0.1s", "-o"]
    lines = inside(*words, "jsonl").stdout.splitlines()
    for line in lines:
        VALIDATOR.validate(json.loads(line))
    assert json.loads(lines[-1])["event"] == "outcome"
    VALIDATOR.validate(json.loads(inside(*words, "json").stdout))


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$defs/exit_code/enum", ExitCode),
        ("$defs/job/properties/verdict/enum", Verdict),
        ("$defs/job/properties/shortfalls/items/enum", Part),
        ("$defs/retry/properties/kind/enum", TransientKind),
        ("$defs/anomaly/properties/kind/enum", AnomalyKind),
    ],
)
def test_values_are_those_of_the_code(path: str, values: type[Enum]) -> None:
    listed: Any = SCHEMA
    for name in path.split("/"):
        listed = listed[name]
    assert listed == [member.value for member in values]


def test_a_missing_or_unknown_member_is_invalid(documents: list[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    """Only `describe`, which AWS defines, may have any member."""
    by_verdict = {document["jobs"][0]["verdict"]: document for document in documents}
    by_kind = {line["event"]: line for line in lines}
    for sample in (*by_verdict.values(), *by_kind.values()):
        for changed in damaged(sample):
            assert not VALIDATOR.is_valid(changed), changed


def damaged(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the document without each of its members, and with an extra one in each of its objects."""
    for path in objects_in(document):
        names = [*at(document, path), None]
        for name in names:
            copy = deepcopy(document)
            if name is None:
                at(copy, path)["unknown"] = 1
            else:
                del at(copy, path)[name]
            yield copy


def objects_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if key != "describe":
            yield from objects_in(item, (*path, key))


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document
