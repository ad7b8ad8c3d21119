"""The recorded jobs, waited for over HTTP."""

from concurrent.futures import ThreadPoolExecutor

from recorded_jobs import recorded, seen, verdict_of
from scripts import NEVER, Seen

from automl_waiter import wait_for_all
from automl_waiter.sandbox.server import Sandbox


def test_replayed_over_http_each_job_ends_as_it_did() -> None:
    """Through boto3 over HTTP each verdict is right, and only transitions that happened are reported."""
    entries = {f"job-{index}": job.values[0] for index, job in enumerate(recorded())}
    # Phases do not change with time: at this speed a delayed response would be hours late.
    scripts = {
        name: Seen([(number * NEVER, *entry[1:]) for number, entry in enumerate(script)])
        for name, script in entries.items()
    }
    with Sandbox(scenarios=scripts, scenario="job-0") as sandbox:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: sandbox.create_job(name, scenario=name), entries))
        outcomes = wait_for_all(entries, client=sandbox.client(), poll=0.1, timeout=60)
    for name, script in entries.items():
        assert outcomes[name].verdict == verdict_of(script)
        truth = iter([(status, secondary) for _, status, secondary in script])
        assert all(state in truth for state in seen(outcomes[name])), "a subsequence"
