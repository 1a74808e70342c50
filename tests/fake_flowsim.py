"""The command line with a simulation that is made up: `python fake_flowsim.py run …`.

`FAKE_SECONDS` is how long it takes (in slices, after each of which it asks whether to stop),
`FAKE_BLOCK` how long one slice holds the process, `FAKE_EXIT` the exit code it comes to, and
`FAKE_LARGEST_FILE` how many bytes a file may have after that.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import types
from dataclasses import replace
from typing import Any

from flowsim.cli import entry


def run(scenario: Any, name: str, *, monitor: Any) -> Any:
    import made_runs

    print("simulating", file=sys.stderr, flush=True)
    whole = float(os.environ.get("FAKE_SECONDS", "0"))
    end = time.monotonic() + whole
    while time.monotonic() < end and not monitor.stop_requested():
        monitor.show("layers flow", 1 - (end - time.monotonic()) / whole)
        until = time.monotonic() + float(os.environ.get("FAKE_BLOCK", "0.02"))
        while time.monotonic() < until:
            time.sleep(0.01)
    monitor.show("layers flow", 1.0)
    if "FAKE_LARGEST_FILE" in os.environ:
        limit = int(os.environ["FAKE_LARGEST_FILE"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    made = made_runs.run_of(scenario, name, int(os.environ.get("FAKE_EXIT", "0")))
    if monitor.stop_requested() and time.monotonic() < end:
        outcome = {**made.summary["outcome"], "layers": "interrupted"}
        made = replace(made, summary={**made.summary, "outcome": outcome, "exit_code": 130})
    return made


if __name__ == "__main__":
    fake = types.ModuleType("flowsim.experiment.run")
    vars(fake).update(run=run)
    sys.modules[fake.__name__] = fake
    entry()
