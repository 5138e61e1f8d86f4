"""`python -m sagabus` is the command `sagabus`."""

from __future__ import annotations

import sys

from sagabus.cli import main

if __name__ == "__main__":
    sys.exit(main())
