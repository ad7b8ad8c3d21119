"""The benchmarks measure what they claim, and the default policy stays within the bounds on the page."""

import re
import runpy

import pytest
from listing_service import Throttle
from repository import ROOT

from automl_waiter import Fixed, PollContext
from automl_waiter.testing import Timeline
from benchmarks import estimates, fleets, herd, overhead, page, polling
from benchmarks.contender import AUTOML_WAITER, BOTOCORE
from benchmarks.endpoint import RUNNING, CountingSandbox, Process
from benchmarks.fleets import Setting
from benchmarks.polling import DEFAULT, FIXED, KAPPA, PEERS, POPULATIONS, measure
from benchmarks.workloads import BASE, NO_REPORTS, QUICK_V2, SMALL, VARIANTS, Population, recorded, recorded_jobs

PAGE = ROOT / "docs" / "explanation" / "pace.md"


def cost_of_fixed(population: Population, count: int) -> float:
    """Return what the default costs on these jobs, in costs of a poll every 30 s: those by arithmetic, to save time."""
    jobs = list(population.jobs(count, polling.SEED))
    calls = 1 + sum((job.end or 0) - job.entries[0][0] for job in jobs) / len(jobs) / 30
    return measure(PEERS[DEFAULT], jobs).cost(KAPPA) / (KAPPA * calls + 15)


@pytest.mark.parametrize(
    ("population", "count"),
    [
        *((group, len(group.timelines)) for group in recorded()),
        *((group, 24) for group in (QUICK_V2, *SMALL, BASE, NO_REPORTS)),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
def test_default_policy_costs_at_most_its_bound(population: Population, count: int) -> None:
    """The tolerance of 5 % covers chance: the test runs few jobs, the page many."""
    assert cost_of_fixed(population, count) <= 1.05 * population.bound


def test_estimates_meet_the_criteria_on_the_page() -> None:
    rows = [("all 150", estimates.measure(families=150))]
    assert [what for what, value, bound in estimates.criteria(rows, 150) if value > bound] == []


def test_estimates_are_made_for_running_jobs_only() -> None:
    """With no spread and no change the error is small, and a job gets no estimate after its end."""
    measured = estimates.measure(estimates.Family(1e-9, 5, -1), families=10)
    assert max(measured.errors) < 0.01
    assert len(measured.within) == 10 * sum(age < 1 for age in estimates.AGES)


def test_polling_benchmark_counts_calls_and_lag() -> None:
    """A poll every 30 s finds a job that ends after 100 s at 120 s, with 5 calls; a job that has already ended has no
    lag."""
    job = Timeline([(0, "InProgress", "ModelTuning"), (100, "Completed", "Completed")])
    assert polling.polls(job, Fixed(30)) == [0, 30, 60, 90, 120]
    over = measure(Fixed(30), [Timeline([(0, "Failed", "Failed")])])
    assert (over.calls, over.lags) == (1, (0.0,))
    late = measure(Fixed(300), [Timeline([(0, "InProgress", "ModelTuning"), (400, "Completed", "Completed")])])
    assert late.of_promise == late.lag / 20
    many = polling.Measured(100, 10, tuple(map(float, range(100))), 1)
    assert (many.lag, many.percentile(50), many.percentile(99), many.cost(2)) == (49.5, 50, 99, 69.5)


def test_phase_is_new_at_its_first_poll_if_last_modified_time_is_always_new() -> None:
    """If LastModifiedTime is always the time of the poll, a phase has age 0 at the poll that finds it."""

    class Watching:
        def __init__(self) -> None:
            self.ages: list[float] = []

        def next_delay(self, context: PollContext, /) -> float:
            self.ages.append(context.phase_age)
            return 30

    job = Timeline([(0, "InProgress", "ModelTuning"), (40, "InProgress", "Dreaming"), (100, "Completed", "Completed")])
    calm, restless = Watching(), Watching()
    polling.polls(job, calm)
    polling.polls(job, restless, is_restless=True)
    assert (calm.ages, restless.ages) == ([0, 30, 20, 50], [0, 30, 0, 30])


def test_workload_variants_have_their_limits_failures_and_factors() -> None:
    """Each variant changes what its name says, and the same seed gives the same jobs."""
    no_reports, no_limits, quarter, _, failures, _ = VARIANTS
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


def test_each_recorded_job_is_in_one_group() -> None:
    """6 of the 18 jobs made reports; the recording of the job that reached its limit begins in the middle of it."""
    reports, without, quick = recorded()
    assert {*reports.timelines, *without.timelines} == set(recorded_jobs())
    assert [len(group.timelines) for group in (reports, without, quick)] == [6, 12, 2]
    assert list(quick.jobs(3)) == [*quick.timelines, quick.timelines[0]]
    [limited] = [job for job in without.timelines if job.max_runtime]
    assert (limited.entries[0][0], limited.end) == (1710, limited.max_runtime)


@pytest.mark.parametrize("waiter", [AUTOML_WAITER, BOTOCORE])
def test_contender_polls_the_given_number_of_times(waiter: str) -> None:
    """The endpoint counts the describe calls, and the process reports its CPU time and memory."""
    with CountingSandbox() as sandbox, Process(waiter, "poll", sandbox.environment, "20") as process:
        sandbox.create_job("job", scenario=RUNNING)
        process.begin("job")
        result = process.result()
        assert sandbox.calls == {"job": 20}
    assert 0 < result.cpu < 30
    assert 20 < result.megabytes < 120


@pytest.mark.parametrize(
    ("calls", "longest_lag", "setting"),
    [
        ((0, 8), 30, Setting(30, fleets.DEFAULT, 1800)),
        ((0, 8), 30, Setting(30, fleets.DEFAULT, 1800, rate=2, among=80)),
        ((12, 60), 120, Setting(30, fleets.DESCRIBED, 1800, seeds=2, is_listed=False)),
    ],
    ids=["listed", "among others", "described"],
)
def test_fleet_row_has_calls_lags_and_verdicts(
    calls: tuple[float, float], longest_lag: float, setting: Setting
) -> None:
    """The same seed gives the same fleet, every end is reported correctly, and a listing takes a fraction of the calls."""
    row = fleets.follow(setting)
    assert row == fleets.follow(setting)
    assert (row.wrong, row.throttled, row.lags) == (0, 0, tuple(sorted(row.lags)))
    assert 0 < row.seen <= len(row.lags) <= 30 * setting.seeds
    assert 0 <= row.percentile(50) <= row.percentile(95) <= row.lags[-1] <= longest_lag
    assert calls[0] < row.calls < calls[1]
    [line] = [line for line in page._followed([row]).splitlines() if setting.how in line]
    assert line.count("|") == 9


def test_fleet_is_described_if_a_page_lists_too_few_of_its_jobs() -> None:
    """If a page lists fewer than 5 jobs of the fleet, the calls are those of a describe per job."""
    row = fleets.follow(Setting(30, fleets.DEFAULT, 1800, among=2000))
    assert (row.wrong, row.throttled) == (0, 0)
    assert row.calls > 12
    assert row.lags[-1] < 120


def test_unreported_end_counts_with_its_lag_so_far() -> None:
    """With a hundredth of the calls that it needs, a fleet's lags are long, and none is left out."""
    row = fleets.follow(Setting(60, fleets.DESCRIBED, 1200, rate=0.05, is_listed=False))
    assert row.seen < len(row.lags)
    assert row.percentile(50) > 60


def test_fleet_jobs_are_running_at_the_start() -> None:
    """Each job was created in the hours before second 0 and ends after it."""
    jobs = fleets.fleet(Setting(200, "", 1800), 1)
    assert len({job.name for job in jobs}) == 200
    assert all(-fleets.WINDOW <= job.created <= 0 < (job.end or 0) for job in jobs)


def test_herd_is_reproducible_and_exhausts_no_error_budget() -> None:
    """Every process calls in the first second, so the peak excludes that second; each peak is that of a single herd."""
    small = herd.run(None, seed=3, processes=60, seconds=300)
    assert (
        small == herd.run(None, seed=3, processes=60, seconds=300) != herd.run(None, seed=4, processes=60, seconds=300)
    )
    assert 40 <= small.throttled < 60, "40 in the first second"
    assert small.exhausted == 0
    assert small.calls > 2 * 60
    in_step = herd.run(Fixed(30), seed=3, processes=60, seconds=300)
    assert small.busiest < in_step.busiest
    assert herd.busiest([small, in_step])[1:] == (small.busiest, in_step.busiest)


def test_rate_limited_endpoint_throttles_and_counts_calls() -> None:
    """The endpoint throttles describe calls over HTTP as AWS does; creating a job is not limited."""
    with CountingSandbox(limit=Throttle(0.01, 2)) as sandbox:
        for name in ("a", "b", "c"):
            sandbox.create_job(name, scenario=RUNNING)
        client = sandbox.client()
        client.describe_auto_ml_job_v2(AutoMLJobName="a")
        client.list_auto_ml_jobs()
        with pytest.raises(client.exceptions.ClientError, match="ThrottlingException"):
            client.describe_auto_ml_job_v2(AutoMLJobName="a")
        assert (sandbox.calls, sandbox.looks, sandbox.throttled) == ({"a": 2}, 3, 1)


def test_page_lists_every_promise_and_all_are_met() -> None:
    """docs/explanation/pace.md has each promise with a figure within its bound, and a row for each policy and workload."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \| at most ([\d.]+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == len(POPULATIONS) + 19
    assert all(met == "yes" and float(value) <= float(bound) for _, value, bound, met in rows)
    words = " ".join(what for what, *_ in rows)
    assert all(it in words for it in ("lag of any job", "mean lag", overhead.STATUS, "import"))
    assert all(it in words for it in ("300 jobs", "200 jobs", "500 processes", "1000 waits", "100 waits"))
    for population in POPULATIONS:
        assert f"| {population.name}: cost at κ = 0.1, of {FIXED}'s |" in text
        for policy in PEERS:
            name = f"**{policy}**" if policy == DEFAULT else policy
            assert f"| {population.name} | {name} |" in text
    for picture in re.findall(r"\]\((\w+\.svg)\)", text):
        assert (PAGE.parent / picture).read_text().startswith("<?xml")


def test_results_at_the_top_of_the_page_match_its_sections() -> None:
    results = runpy.run_path(str(ROOT / "docs" / "make_performance.py"))["results"]
    assert f"\n{results(PAGE.read_text())}\n" in PAGE.read_text()


def test_one_section_of_the_page_is_replaced() -> None:
    """`docs/make_performance.py fleets` replaces the section with the same heading and keeps the others."""
    replaced = runpy.run_path(str(ROOT / "docs" / "make_performance.py"))["replaced"]
    text = "# Title\n\nHead.\n\n## A\n\na\n\n### Part\n\np\n\n## B\n\nb\n"
    assert replaced(text, "## A\n\nnew\n") == "# Title\n\nHead.\n\n## A\n\nnew\n\n## B\n\nb\n"
    assert replaced(text, "## B\n\nnew\n") == text.removesuffix("b\n") + "new\n"
    with pytest.raises(ValueError, match="unpack"):
        replaced(text, "## C\n\nnew\n")
