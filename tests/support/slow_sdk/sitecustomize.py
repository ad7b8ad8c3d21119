"""With this folder on its path, a Python stands still where it imports the SDK, as on a cold disk."""

import sys
import time
from typing import Any


class Slow:
    """A finder of modules that finds none, and takes its time with one."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        """Stands still before boto3."""
        if name == "boto3":
            print("importing the SDK", file=sys.stderr, flush=True)
            time.sleep(60)


sys.meta_path.insert(0, Slow)  # type: ignore[arg-type]
