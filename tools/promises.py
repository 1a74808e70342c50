"""Test one promise of docs/reliability.md on many random cases, and print its numbers.

    python tools/promises.py PART [--count K] [--seed S]

A case is determined by the part, the seed and its number. Finished cases are stored in
build/promises/PART.jsonl, so that an interrupted run continues where it stopped. The exit code is 1
if the promise is broken.
"""

from __future__ import annotations

import sys

# the package beside this file, which takes precedence over the file itself
from promises.command import main

if __name__ == "__main__":
    sys.exit(main())
