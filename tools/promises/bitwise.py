"""One scenario in many processes: equal to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from promises.part import Part, Record, Verdict

SCENARIO = """title = "Bitwise"
[network]
widths = [3, 4, 3]
[loss]
kind = "sensing"
target = { rank = 2, norm = 2 }
measurements = 12
[init]
kind = "balanced"
scale = 0.1
[flow]
horizon = 4.0
samples = 20
spaces = ["layers", "end_to_end", "spectral"]
[descent]
step_sizes = [0.05, 0.2]
batch = 3
[output]
measures = ["sharpness"]
"""

PROGRAM = """
import hashlib, json, sys
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
found = run(from_toml(sys.stdin.read()))
def content(values):
    # arrays of strings hold addresses
    return repr(values.tolist()).encode() if values.dtype.kind in "OU" else values.tobytes()
contents = {path: content(found[path]) for path in found.paths()}
for key in ("final_loss", "error_estimate", "outcome"):
    contents[key] = repr(found.summary[key]).encode()
print(json.dumps({name: hashlib.sha256(c).hexdigest() for name, c in contents.items()}))
"""


def case(seed: int, k: int) -> Record:
    """Return the hashes of all variables and of the summary, computed in a process of its own.

    Processes differ in the order of Python's sets, and in whether programs come from the cache.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONHASHSEED": str(seed + k), "EQX_ON_ERROR": "nan"}
        if k % 2:
            environment["JAX_COMPILATION_CACHE_DIR"] = cache
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], input=SCENARIO, capture_output=True, text=True,
            env=environment, cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return {"hashes": json.loads(done.stdout)}


def judge(records: Sequence[Record]) -> Verdict:
    """Return the number of variables, and those that differ between processes."""
    names = records[0]["hashes"]
    differing = [name for name in names if len({r["hashes"][name] for r in records}) > 1]
    line = (
        f"{len(names)} variables and numbers in {len(records)} processes, {len(differing)} differ"
    )
    return Verdict(line + "".join(f"; {name}" for name in differing[:5]), not differing)


PART = Part("On one machine and version the same scenario gives the same bits.", 20, case, judge)
