"""`demo`: a scripted job, played fast in a sandbox of this process, and a wait for it in the time of the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import click

from automl_waiter._aws.connection import Connection
from automl_waiter._aws.gateway import Boto3Gateway
from automl_waiter._aws.logs import CloudWatchLogs
from automl_waiter._model.failure_logs import FailureLog
from automl_waiter._model.job_refs import job_ref
from automl_waiter._model.options import CANDIDATES_EVERY_S, wait_options
from automl_waiter._model.outcome import Outcome
from automl_waiter._model.statuses import Status
from automl_waiter._model.text import format_duration
from automl_waiter._system.fast_machine import FastMachine
from automl_waiter._wiring import Target
from automl_waiter.cli.flags import PROGRESS, RESULTS, Flags, shared
from automl_waiter.cli.help import Page
from automl_waiter.cli.local import SCENARIO_LIST, scenario_option
from automl_waiter.cli.output import ResultWriter
from automl_waiter.cli.screen import open_screen
from automl_waiter.cli.session import Session
from automl_waiter.cli.signals import Interrupts
from automl_waiter.report.document import Document, Note, Notes
from automl_waiter.report.facts import head_of, outcome_document, took
from automl_waiter.sandbox.scenarios import SCENARIOS
from automl_waiter.sandbox.timeline import Timeline

# However long the job is, its pauses last this long; the calls and the start take a second or two more.
_PAUSES_S = 12.0
# Each takes some real time.
_POLLS = 90
_MAX_RUNTIME_S = 3600
_MAX_CANDIDATES = 8
# How long similar jobs took in the weeks before, as shares of the usual duration: they make the estimate.
_EARLIER = (0.98, 1.03, 0.96, 1.01, 0.97, 1.04)


@click.command(
    cls=Page,
    short_help="Wait for a scripted job, offline.",
    examples=[("automl-waiter demo --scenario deploy-error", "See a job that completes without its endpoint:")],
    lists={"Scenarios": SCENARIO_LIST},
)
@scenario_option(help="How the job ends.")
@shared(*RESULTS, PROGRESS)
@click.pass_obj
def demo(interrupts: Interrupts, /, flags: Flags, scenario: str) -> int:
    """Play a job at high speed, offline and without an AWS account, and wait for it.

    The job is a script, modelled on recorded ones. All times are the job's, as if you had waited in real time.
    """
    recorded = SCENARIOS[scenario]
    script = replace(
        recorded,
        max_runtime=recorded.max_runtime or _MAX_RUNTIME_S,
        max_candidates=recorded.max_candidates or _MAX_CANDIDATES,
    )
    runtime = script.end or 0.0
    machine = FastMachine(max(1, round(runtime / _PAUSES_S)), datetime.now(UTC) - timedelta(seconds=runtime))
    job = job_ref(f"churn-{machine.now():%Y-%m-%d}")
    earlier = _earlier_jobs(script if script.entries[-1][1] == Status.COMPLETED else SCENARIOS["completed"])
    options = wait_options(require=flags.require, poll=max(1.0, runtime / _POLLS), estimate=True)
    options = replace(options, candidates_every=CANDIDATES_EVERY_S)
    with interrupts.ending():
        from automl_waiter.sandbox.server import Sandbox

        with Sandbox(scenarios={scenario: script} | earlier, scenario=scenario, now=machine.now) as sandbox:
            for weeks, name in enumerate(earlier, 1):
                age = timedelta(weeks=weeks)
                sandbox.create_job(f"churn-{machine.now() - age:%Y-%m-%d}", scenario=name, age=age.total_seconds())
            sandbox.create_job(job.name, scenario=scenario)
            writer = ResultWriter(flags.output, document_of=_document)
            screen = open_screen(flags, writer, names=[job.name], hint="Ctrl-C ends the demo", clock=machine)
            screen.reporter.note(
                "demo",
                f"A scripted job of {format_duration(runtime)}, played {machine.speed:.0f} times as fast. "
                "All times are the job's.",
            )
            gateway = Boto3Gateway(Connection(sandbox.client()))
            logs = CloudWatchLogs(Connection(sandbox.client(service="logs")))
            session = Session(
                screen.reporter,
                writer,
                interrupts,
                github=screen.github,
                logs=None if flags.quiet else lambda _: (gateway, logs),
                machine=machine,
            )
            return session.run([job], lambda: {job.key: Target(job, gateway)}, options)


def _earlier_jobs(usual: Timeline) -> dict[str, Timeline]:
    """Return jobs that took about as long as the usual one, by names of scenarios."""
    return {
        f"{share:.0%}": replace(usual, entries=[(second * share, one, two) for second, one, two in usual.entries])
        for share in _EARLIER
    }


def _document(outcomes: Sequence[Outcome], logs: Mapping[str, Sequence[FailureLog]]) -> Document:
    """Return how the wait ended, short enough for a small terminal, with what comes next as the last line."""
    [outcome] = outcomes
    document = outcome_document(outcome, logs.get(outcome.job, ()), is_short=True)
    verdict = " after ".join(filter(None, [head_of(outcome), took(outcome)]))
    note = Note(f"{outcome.job_name}: {verdict}. To wait for a job of your own:", "automl-waiter wait YOUR-JOB")
    return replace(document, blocks=(*document.blocks, Notes("That was a demo", (note,))))
