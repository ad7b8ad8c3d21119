"""The typed snapshot, compared with botocore's model of the response."""

import json
import pickle
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from repository import TRACES

from automl_waiter._model.candidates import objective_of
from automl_waiter._model.json_form import jsonable
from automl_waiter._model.members import Member, View
from automl_waiter._model.snapshot import Candidate, Snapshot, readable, served_at

WHEN = datetime(2026, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=2)))


def response_shape() -> Any:
    model: Any = botocore.session.get_session().get_service_model("sagemaker")
    return model.operation_model("DescribeAutoMLJobV2").output_shape


def structure_of(shape: Any) -> Any:
    while shape.type_name in ("list", "map"):
        shape = shape.member if shape.type_name == "list" else shape.value
    return shape if shape.type_name == "structure" else None


def pairs(shape: Any, view: type[View], path: str) -> list[Any]:
    found = [pytest.param(shape, view, id=path)]
    for name, member in shape.members.items():
        inner = structure_of(member)
        if inner is not None and name in view.members and view.members[name].view is not None:
            found += pairs(inner, view.members[name].view, f"{path}.{name}")  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(("shape", "view"), pairs(response_shape(), Snapshot, "response"))
def test_every_member_of_botocores_model_has_an_accessor(shape: Any, view: type[View]) -> None:
    """The accessors and the members of botocore's model are the same at every depth."""
    assert set(view.members) == set(shape.members)
    for name, member in shape.members.items():
        assert (structure_of(member) is not None) == (view.members[name].view is not None), name


def example(shape: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {name: example(member) for name, member in shape.members.items()}
        case "list":
            return [example(shape.member)]
        case "map":
            return {"key": example(shape.value)}
        case "timestamp":
            return WHEN
        case "boolean":
            return True
        case "integer":
            return 7
        case "float":
            return 0.5
        case _:
            return f"a {shape.name}"


def check(view: View, raw: Mapping[str, Any]) -> None:
    for attribute, member in vars(type(view)).items():
        if isinstance(member, Member):
            compare(getattr(view, attribute), raw[member.name])


def compare(value: Any, expected: Any) -> None:
    if isinstance(value, View):
        check(value, expected)
    elif isinstance(value, tuple):
        assert len(value) == len(expected) == 1
        compare(value[0], expected[0])
    elif isinstance(value, Mapping) and value != expected:
        compare(value["key"], expected["key"])
    else:
        assert value == expected
        assert type(value) is type(expected)
        assert value.tzinfo is UTC if isinstance(value, datetime) else True


def test_a_full_response_reads_back_through_the_accessors() -> None:
    """Each accessor returns its member's value in its type, and instants in UTC."""
    raw = example(response_shape())
    check(Snapshot(raw), raw)


@pytest.mark.parametrize(("shape", "view"), pairs(response_shape(), Snapshot, "response"))
def test_optional_members_may_be_absent(shape: Any, view: type[View]) -> None:
    """With a structure's required members alone, at every depth, the optional ones are None or empty."""
    raw = {name: example(shape.members[name]) for name in shape.required_members}
    members = {attribute: member for attribute, member in vars(view).items() if isinstance(member, Member)}
    absent = [getattr(view(raw), attribute) for attribute, member in members.items() if member.name not in raw]
    assert all(value in (None, (), {}) for value in absent)


def test_derived_properties_work_without_optional_members() -> None:
    """The snapshot's own properties are empty if their members are absent."""
    snapshot = Snapshot({})
    assert (snapshot.partial_failure_reasons, snapshot.endpoint_name) == ((), None)
    assert snapshot.completion_criteria.max_runtime_seconds is None


def test_absent_required_member_raises_with_its_name() -> None:
    """Reading a required member that the response lacks raises AttributeError with its name."""
    with pytest.raises(AttributeError, match="AutoMLJobName"):
        _ = Snapshot({}).name


@pytest.mark.parametrize("value", ["2026-05-01T10:00:00.000Z", datetime(2026, 5, 1, 10), WHEN])
def test_an_instant_is_aware_and_in_utc(value: Any) -> None:
    """boto3's datetimes, naive ones and our own JSON give the same instant."""
    assert Snapshot({"CreationTime": value}).created_at == datetime(2026, 5, 1, 10, tzinfo=UTC)


def test_completion_criteria_are_the_resolved_ones() -> None:
    """Without resolved criteria, those of the problem type's config count."""
    config = {"TabularJobConfig": {"CompletionCriteria": {"MaxCandidates": 5, "MaxAutoMLJobRuntimeInSeconds": 100}}}
    resolved = {"CompletionCriteria": {"MaxAutoMLJobRuntimeInSeconds": 50}}
    criteria = Snapshot({"AutoMLProblemTypeConfig": config, "ResolvedAttributes": resolved}).completion_criteria
    assert (criteria.max_candidates, criteria.max_runtime_seconds) == (5, 50)


def test_snapshot_is_immutable_comparable_and_picklable() -> None:
    """Snapshots of equal responses are equal; newer members are in `raw`."""
    snapshot = Snapshot({"AutoMLJobName": "a", "Newer": 1})
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert hash(snapshot) == hash(Snapshot({"AutoMLJobName": "a", "Newer": 1}))
    assert snapshot != Snapshot({"AutoMLJobName": "b"})
    assert Candidate({"CandidateName": "a"}) == Candidate({"CandidateName": "a"}) != Candidate({"CandidateName": "b"})
    again = Snapshot({"AutoMLJobName": "a", "Newer": 1, "ResponseMetadata": {"RequestId": "2"}})
    assert (again, hash(again)) == (snapshot, hash(snapshot)), "a request id makes no other job"
    assert snapshot.raw["Newer"] == 1
    assert Snapshot.name.name == "AutoMLJobName"
    with pytest.raises(AttributeError):
        snapshot.raw = {}


DEEP: Any = "bottom"
for _ in range(900):
    DEEP = [DEEP]
NO_VALUES: list[Any] = [
    *("abc", float("inf"), 10**400, 10**12, True, [], {"a": DEEP}, [{"a": object()}]),
    datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-14))),
    "0001-01-01T00:00:00+14:00",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a response."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def read_all(value: Any) -> None:
    """Read every property."""
    if isinstance(value, View):
        for attribute, member in vars(type(value)).items():
            if isinstance(member, Member) and (member.name in value.raw or not member.is_required):
                read_all(getattr(value, attribute))
    elif isinstance(value, tuple | list):
        for item in value:
            read_all(item)
    elif isinstance(value, Mapping):
        read_all(list(value.values()))


def test_any_invalid_value_in_a_response_counts_as_absent() -> None:
    """An invalid value at any place counts as absent and is reported by name; the others stay, and all is JSON."""
    raw = example(response_shape())
    assert readable(raw) is raw, "a good response is not copied"
    for number, path in enumerate(places(raw)):
        for value in [*NO_VALUES[number % 3 :: 3], DEEP]:
            snapshot = Snapshot(readable(changed(raw, path, value)))
            read_all(snapshot)
            read_all(snapshot.completion_criteria)
            json.dumps(jsonable(snapshot.response), allow_nan=False)
            assert {known.split(".")[0] for known in snapshot.unreadable} <= {path[0]}, (path, value)
            assert set(snapshot.raw) - {"ResponseMetadata"} >= set(raw) - {path[0]}
            if value is DEEP:
                assert snapshot.unreadable, path


@pytest.mark.parametrize("value", ["NaN", "Infinity", float("nan"), "abc", None])
def test_objective_without_a_number_is_absent(value: Any) -> None:
    """The metric is dropped; the candidate stays."""
    objective = {"MetricName": "F1", "Value": value}
    snapshot = Snapshot(readable({"BestCandidate": {"CandidateName": "c", "FinalAutoMLJobObjectiveMetric": objective}}))
    assert snapshot.best_candidate is not None
    assert objective_of(snapshot.best_candidate) is None
    unreadable = () if value is None else ("BestCandidate.FinalAutoMLJobObjectiveMetric.Value",)
    assert snapshot.unreadable == unreadable


def test_only_the_invalid_item_of_a_list_is_left_out() -> None:
    """Lists and maps of structures keep their valid items."""
    failures = [{"PartialFailureMessage": "a"}, "b", {"PartialFailureMessage": ["c"]}, {"PartialFailureMessage": "d"}]
    snapshot = Snapshot(readable({"PartialFailureReasons": failures}))
    assert snapshot.partial_failure_reasons == ("a", "d")
    assert snapshot.unreadable == ("PartialFailureReasons", "PartialFailureReasons.PartialFailureMessage")
    image = {"Image": "i", "ModelDataUrl": "s3://m"}
    candidate = Candidate(
        readable({"InferenceContainerDefinitions": {"CPU": [image, {"Image": 5}], "GPU": "none"}}, Candidate)
    )
    assert candidate.inference_container_definitions["CPU"][0].image == "i"
    assert candidate.inference_container_definitions.keys() == {"CPU"}


def test_limits_of_an_unknown_problem_type_count_if_they_are_numbers() -> None:
    """The problem type may be newer than this package."""
    limits = {"MaxAutoMLJobRuntimeInSeconds": "abc", "MaxCandidates": 3}
    for config in ({"CompletionCriteria": limits}, {"CompletionCriteria": "none"}, "none"):
        criteria = Snapshot({"AutoMLProblemTypeConfig": {"QuantumJobConfig": config}}).completion_criteria
        assert criteria.max_runtime_seconds is None
        assert criteria.max_candidates == (3 if config == {"CompletionCriteria": limits} else None)


def test_invalid_response_metadata_has_no_effect() -> None:
    """A client other than boto3's may return anything as its metadata."""
    for metadata in (None, "none"):
        assert Snapshot(readable({"ResponseMetadata": metadata, "EndTime": "never"})).unreadable == ("EndTime",)
    assert Snapshot({"ResponseMetadata": "none"}).unreadable == ()


def test_recorded_responses_have_no_invalid_value() -> None:
    """AWS never sent a value that the snapshot calls invalid."""
    for file in sorted(TRACES.glob("**/*.json")):
        for raw in responses_in(json.loads(file.read_text())):
            assert readable(raw) is raw, file


def responses_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield each describe response in a recording."""
    if isinstance(value, dict) and "AutoMLJobStatus" in value:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from responses_in(item)


def test_recorded_responses_can_be_read() -> None:
    """Each recorded response gives its statuses, times and best candidate."""
    files = sorted(TRACES.glob("responses/*.json"))
    if not files:
        pytest.skip("the recordings are not at hand")
    for file in files:
        raw = json.loads(file.read_text())
        snapshot = Snapshot(raw)
        assert snapshot.state == (raw["AutoMLJobStatus"], raw["AutoMLJobSecondaryStatus"])
        assert snapshot.last_modified_at >= snapshot.created_at
        if snapshot.best_candidate is not None:
            assert snapshot.best_candidate.name == raw["BestCandidate"]["CandidateName"]


@pytest.mark.parametrize(
    ("header", "instant"),
    [
        ("Tue, 11 Feb 2020 20:49:00 GMT", datetime(2020, 2, 11, 20, 49, tzinfo=UTC)),
        ("Tue, 11 Feb 2020 20:49:00 -0000", datetime(2020, 2, 11, 20, 49, tzinfo=UTC)),
        ("yesterday", None),
        ("Fri, 31 Dec 9999 23:59:59 -1400", None),
        (None, None),
    ],
)
def test_the_services_clock_is_read_from_the_date_header(header: str | None, instant: datetime | None) -> None:
    """The Date header gives an aware instant; an absent or invalid one gives none."""
    assert served_at({"ResponseMetadata": {"HTTPHeaders": {"date": header} if header else {}}}) == instant


def test_repr_of_a_nested_structure_has_its_members() -> None:
    """A structure without a short form of its own shows the members of the response."""
    objective = Snapshot({"AutoMLJobObjective": {"MetricName": "F1"}}).objective
    assert repr(objective).endswith("({'MetricName': 'F1'})")
