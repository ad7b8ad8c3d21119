"""Wait for a job and print each transition: python with_callbacks.py JOB"""

import sys

from automl_waiter import JobDegraded, JobFailed, Transition, wait_for


def report(change: Transition) -> None:
    print(f"{change.observed_at:%H:%M:%S}  {change.after}", flush=True)


def main(job: str) -> int:
    try:
        outcome = wait_for(job, timeout="auto", on_transition=report)
    except JobFailed as error:
        print(f"failed: {error.outcome and error.outcome.failure_reason}")
        return 1
    except JobDegraded as error:
        print(f"a part is missing: {error}")
        return 1
    best = outcome.best_candidate
    if best is not None and best.objective is not None:
        print(f"best: {best.name}, {best.objective.metric_name} {best.objective.value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
