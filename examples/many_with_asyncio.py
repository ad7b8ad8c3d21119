"""Wait for several jobs at once, and act on each as it ends: python many_with_asyncio.py JOB..."""

import asyncio
import sys

from automl_waiter import aio


async def main(jobs: list[str]) -> int:
    succeeded = 0
    async for outcome in aio.as_completed(jobs):
        print(outcome.summary, flush=True)
        succeeded += outcome.exit_code == 0
    return 0 if succeeded == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
