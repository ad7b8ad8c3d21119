"""The benchmarks measure what they say, and the default keeps what the page promises of it."""

import re

import pytest
from conftest import ROOT

from automl_waiter import Fixed, PollContext
from automl_waiter.errors import PassingFailure
from automl_waiter.listing import VERIFIED_EVERY
from automl_waiter.testing import EPOCH, ManualClock, Timeline
from benchmarks import fleets, herd, overhead, page, polling
from benchmarks.contender import AUTOML_WAITER, BOTOCORE, POLLS
from benchmarks.endpoint import RUNNING, CountingSandbox, Process
from benchmarks.fleets import Setting
from benchmarks.polling import DEFAULT, KAPPA, PEERS, REFERENCE, measure
from benchmarks.reference import Reference
from benchmarks.service import Filters, Job, Service, Throttle
from benchmarks.workloads import BASE, NO_REPORTS, PROBLEM_TYPES, VARIANTS, recorded_jobs

PAGE = ROOT / "docs" / "performance.md"
IMAGES = next(workload for workload in PROBLEM_TYPES if workload.name == "ImageClassification")


def every_30_s(jobs: list[Timeline]) -> tuple[float, float]:
    """The mean calls and lag of a look every 30 s, by arithmetic: running it would take most of the time."""
    return 1 + sum(job.end or 0 for job in jobs) / len(jobs) / 30, 15.0


def test_the_default_takes_half_the_calls_and_half_the_lag_of_a_look_every_30_s() -> None:
    """On the assumed base workload, by few jobs here and by many on the page."""
    jobs = list(BASE.jobs(120, polling.SEED))
    default, (calls, lag) = measure(PEERS[DEFAULT], jobs), every_30_s(jobs)
    assert default.calls <= calls / 2
    assert default.lag <= lag / 2


def test_the_default_does_not_gamble_on_reports() -> None:
    """Where jobs end straight from training it costs at most a tenth more than a look every 30 s."""
    jobs = list(NO_REPORTS.jobs(250, polling.SEED))
    default, (calls, lag) = measure(PEERS[DEFAULT], jobs), every_30_s(jobs)
    assert default.cost(KAPPA) <= 1.1 * (KAPPA * calls + lag)


def test_nothing_beats_the_reference_where_it_knows_the_jobs() -> None:
    """The dynamic programme costs less than every policy that is no faster, and at κ = 1 it looks less often."""
    jobs = list(IMAGES.jobs(60))
    reference, rarer = (measure(Reference(IMAGES, kappa), jobs) for kappa in (KAPPA, 1.0))
    assert all(
        reference.cost(KAPPA) < measure(poll, jobs).cost(KAPPA) for name, poll in PEERS.items() if name != "fixed 5 s"
    )
    assert rarer.calls < reference.calls / 1.5
    assert rarer.cost(1.0) < reference.cost(1.0)


def test_calls_and_lag_are_those_of_the_job() -> None:
    """A look every 30 s finds a job that ends after 100 s at 120 s, with 5 calls; a job that had ended has no lag."""
    job = Timeline([(0, "InProgress", "ModelTuning"), (100, "Completed", "Completed")])
    assert polling.looks(job, Fixed(30)) == [0, 30, 60, 90, 120]
    over = measure(Fixed(30), [Timeline([(0, "Failed", "Failed")])])
    assert (over.calls, over.lags) == (1, (0.0,))
    many = polling.Measured(100, 10, tuple(map(float, range(100))))
    assert (many.lag, many.percentile(50), many.percentile(99), many.cost(2)) == (49.5, 50, 99, 69.5)


def test_a_restless_job_does_not_tell_how_old_its_phase_is() -> None:
    """Where LastModifiedTime is that of the look, a phase that was just found counts as new; otherwise it is told."""

    class Watching:
        def __init__(self) -> None:
            self.ages: list[float] = []

        def next_delay(self, context: PollContext, /) -> float:
            self.ages.append(context.phase_age)
            return 30

    job = Timeline([(0, "InProgress", "ModelTuning"), (40, "InProgress", "Dreaming"), (100, "Completed", "Completed")])
    told, restless = Watching(), Watching()
    polling.looks(job, told)
    polling.looks(job, restless, is_restless=True)
    assert (told.ages, restless.ages) == ([0, 30, 20, 50], [0, 30, 0, 30])


def test_a_workload_is_what_it_is_called() -> None:
    """Limits, failures, reports and factors show in the jobs, which are the same for the same seed."""
    no_limits, no_reports, quarter, _, failures, _ = VARIANTS
    assert list(BASE.jobs(20)) == list(BASE.jobs(20)) != list(BASE.jobs(20, seed=1))
    assert all(job.max_runtime is None for job in no_limits.jobs(200))
    assert not any("Report" in phase or job.deploy for job in no_reports.jobs(200) for _, _, phase in job.entries)
    failed = [sum(job.entries[-1][1] == "Failed" for job in it.jobs(1000)) for it in (BASE, failures)]
    assert 2.5 * failed[0] < failed[1]
    means = [sum(job.end or 0 for job in it.jobs(1000)) for it in (BASE, quarter)]
    assert means[0] / means[1] == pytest.approx(4, rel=0.15)
    reached = [job for job in BASE.jobs(1000) if job.entries[-1][2] == "MaxAutoMLJobRuntimeReached"]
    assert 0.1 < len(reached) / 1000 < 0.17
    assert all(job.end == job.max_runtime for job in reached)
    assert len(recorded_jobs()) == 18


@pytest.mark.parametrize("waiter", [AUTOML_WAITER, BOTOCORE])
def test_a_contender_polls_as_often_as_it_is_told(waiter: str) -> None:
    """The endpoint counts its describes, and the process tells its CPU and memory."""
    with CountingSandbox() as sandbox, Process(waiter, "poll", sandbox.environment) as process:
        sandbox.create_job("job", scenario=RUNNING)
        process.begin("job")
        result = process.result()
        assert sandbox.calls == {"job": POLLS}
    assert 0 < result.cpu < 30
    assert 20 < result.megabytes < 120


@pytest.mark.parametrize(
    ("how", "setting"),
    [
        ("listed", Setting(30, fleets.DEFAULT, 1800)),
        ("listed", Setting(30, fleets.POST_FILTERED, 1800, filters=Filters.POST_FILTERED, older=200)),
        ("described", Setting(30, fleets.DESCRIBED, 1800, seeds=2, is_listed=False)),
    ],
)
def test_a_fleet_is_followed_as_its_row_says(how: str, setting: Setting) -> None:
    """The same fleet for the same seed; no end is told wrongly, and a listing takes a fraction of the calls."""
    row = fleets.follow(setting)
    assert row == fleets.follow(setting)
    assert (row.wrong, row.throttled, row.lags) == (0, 0, tuple(sorted(row.lags)))
    assert 0 < row.seen <= len(row.lags) <= 30 * setting.seeds
    assert 0 <= row.percentile(50) <= row.percentile(95) <= row.lags[-1] <= setting.bound
    assert row.calls < 8 if how == "listed" else row.calls > 12
    [line] = [line for line in page._followed([row]).splitlines() if setting.how in line]
    assert line.count("|") == 9


def test_an_end_that_nobody_has_told_of_counts_with_its_lag_so_far() -> None:
    """Described at a hundredth of the pace that it would take, a fleet's lags are long, and not left out."""
    row = fleets.follow(Setting(60, fleets.DESCRIBED, 1200, rate=0.05, is_listed=False))
    assert row.seen < len(row.lags)
    assert row.percentile(50) > 60


def test_the_jobs_of_a_fleet_run_when_it_begins() -> None:
    """At random ages, the older ones among them jobs that last long; and the bound is that of the listing."""
    setting = Setting(200, "", 1800, rate=2, hidden=0.25)
    jobs = fleets.fleet(setting, 1)
    assert len({job.name for job in jobs}) == 200
    assert all(-fleets.WINDOW <= job.created <= 0 < (job.end or 0) for job in jobs)
    assert 20 < sum(job.hides_its_end for job in jobs) < 80
    assert setting.bound == VERIFIED_EVERY + 2 * 8 + 100


def test_a_herd_is_the_same_for_its_seed_and_goes_on_calmly() -> None:
    """In the first second each process calls, which is not counted as the busiest; one peak is that of one herd."""
    small = herd.run(None, seed=3, processes=60, seconds=300)
    assert (
        small == herd.run(None, seed=3, processes=60, seconds=300) != herd.run(None, seed=4, processes=60, seconds=300)
    )
    assert (small.throttled, small.exhausted) == (40, 0)
    assert small.calls > 2 * 60
    in_step = herd.run(Fixed(30), seed=3, processes=60, seconds=300)
    assert small.busiest < in_step.busiest
    assert herd.busiest([small, in_step])[1:] == (small.busiest, in_step.busiest)


def test_a_service_filters_pages_throttles_and_hides_as_it_says() -> None:
    """What a listing shows of 250 jobs of which every other has ended, and of one that hides it."""

    def service(filters: Filters, limit: Throttle | None = None) -> Service:
        clock = ManualClock()
        ended = Timeline([(0, "InProgress", "Starting"), (60, "Completed", "Completed")])
        endless = Timeline([(0, "InProgress", "Starting"), (1e6, "InProgress", "ModelTuning")])
        jobs = [Job(f"job-{number}", -1000.0 - number, (ended, endless)[number % 2]) for number in range(250)]
        jobs += [Job("hides", -30, ended, hides_its_end=True), Job("rests", -700, endless, rests=True)]
        jobs += [Job("to-come", 100, ended)]
        return Service(clock, jobs, filters=filters, throttle=limit)

    def names(service: Service, **request: object) -> list[list[str]]:
        pages, token = [], {}
        while token is not None:
            page = service.list_jobs({"MaxResults": 100, **request, **token})
            pages.append([job["AutoMLJobName"] for job in page["AutoMLJobSummaries"]])
            token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
        return pages

    everything = names(service(Filters.INDEXED))
    assert [len(page) for page in everything] == [100, 100, 52]
    assert everything[0][:3] == ["hides", "rests", "job-0"]
    assert [len(page) for page in names(service(Filters.INDEXED), StatusEquals="Completed")] == [100, 25]
    assert [len(page) for page in names(service(Filters.POST_FILTERED), StatusEquals="Completed")] == [49, 50, 26]
    assert names(service(Filters.IGNORED), StatusEquals="Completed") == everything
    looked_at = service(Filters.INDEXED)
    looked_at.clock.advance(40)
    # Of those that run, LastModifiedTime moves every 10 minutes; it has not moved with the end that is hidden.
    assert names(looked_at, LastModifiedTimeAfter=EPOCH) == [[f"job-{number}" for number in range(161, 201, 2)]]
    assert "hides" in names(looked_at, StatusEquals="Completed")[0]
    looked_at.clock.advance(60)
    assert names(looked_at)[0][0] == "to-come"
    limited = service(Filters.INDEXED, Throttle(1, 2))
    limited.describe("job-0")
    limited.describe("JOB-0")
    with pytest.raises(PassingFailure):
        limited.describe("job-0")
    assert (limited.describes, limited.throttled, len(limited.calls)) == (3, 1, 3)
    limited.clock.advance(1)
    assert limited.describe("job-0")["AutoMLJobStatus"] == "Completed"


def test_an_endpoint_with_a_limit_throttles_describes_and_counts_them() -> None:
    """Over HTTP, as AWS words it; jobs are created without a limit."""
    with CountingSandbox(limit=Throttle(0.01, 2)) as sandbox:
        for name in ("a", "b", "c"):
            sandbox.create_job(name, scenario=RUNNING)
        client = sandbox.client()
        client.describe_auto_ml_job_v2(AutoMLJobName="a")
        client.list_auto_ml_jobs()
        with pytest.raises(client.exceptions.ClientError, match="ThrottlingException"):
            client.describe_auto_ml_job_v2(AutoMLJobName="a")
        assert (sandbox.calls, sandbox.looks, sandbox.throttled) == ({"a": 2}, 3, 1)


def test_the_page_says_what_was_promised_and_all_of_it_was_met() -> None:
    """docs/performance.md has each promise, with a figure within its bound, and a row for each policy and workload."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \| at most ([\d.]+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 19
    assert all(met == "yes" and float(value) <= float(bound) for _, value, bound, met in rows)
    words = " ".join(what for what, *_ in rows)
    assert all(
        it in words for it in ("calls", "mean lag", "reference", "straight from training", overhead.STATUS, "import")
    )
    assert all(it in words for it in ("10,000 jobs", "200 jobs", "500 processes", "1000 waits", "100 waits"))
    for workload in (BASE, *VARIANTS, *PROBLEM_TYPES):
        for policy in (*PEERS, REFERENCE):
            name = f"**{policy}**" if policy == DEFAULT else policy
            assert f"| {workload.name} | {name} |" in text
    for picture in re.findall(r"\]\((performance/\w+\.svg)\)", text):
        assert (PAGE.parent / picture).read_text().startswith("<?xml")
