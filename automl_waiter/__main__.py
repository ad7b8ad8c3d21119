"""`python -m automl_waiter` is `automl-waiter`."""

import sys

from automl_waiter.cli import main

if __name__ == "__main__":
    sys.exit(main())
