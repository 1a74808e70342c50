"""Redraw the gallery: run every named scenario, and store its lead figure in plots/.

    python tools/gallery.py [NAME]...

plots/README.md shows all figures with the first sentence of each scenario's summary. For
scenarios in ANIMATED it also has an animation of the lead figure, plots/<name>.webp.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from flowsim.experiment import figures
from flowsim.experiment.plan.reading import read
from flowsim.experiment.run import run
from flowsim.scenario import catalog
from flowsim.scenario.spec.scenario import Scenario

ANIMATED = ("step-size-fan",)
PLOTS = Path(__file__).resolve().parent.parent / "plots"


def draw(name: str) -> None:
    """Run a named scenario; store its lead figure as plots/<name>.png, an animation as .webp."""
    result = run(read(catalog.resolve(name)), name)
    lead = [figures.lead(result)]
    with tempfile.TemporaryDirectory() as folder:
        drawn = figures.save(result, folder, names=lead)
        if name in ANIMATED:
            drawn += figures.animate(result, folder, names=lead)
        for path in drawn:
            (PLOTS / f"{name}{path.suffix}").write_bytes(path.read_bytes())
    held = all(claim["holds"] for claim in result.summary["claims"])
    print(f"{name}: {'all claims hold' if held else 'A CLAIM FAILS'}")


def page() -> str:
    """Return the text of plots/README.md."""
    lines = [
        "# Gallery",
        "",
        "The lead figure of each named scenario; `flowsim run NAME` draws it, and more.",
        "",
    ]
    for name in catalog.names():
        scenario = read(catalog.resolve(name))
        lines += [f"## {scenario.title}", "", first_sentence(scenario), ""]
        lines += [f"`flowsim run {name}`", "", f"![{scenario.title}]({name}.png)", ""]
        if name in ANIMATED:
            lines += ["`flowsim plot RUN_DIR --animate` of that run:", ""]
            lines += [f"![{scenario.title}, animated]({name}.webp)", ""]
    return "\n".join(lines)


def first_sentence(scenario: Scenario) -> str:
    """Return the first sentence of a scenario's summary, on one line."""
    text = " ".join(scenario.summary.split())
    return text.split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    for name in sys.argv[1:] or catalog.names():
        draw(name)
    (PLOTS / "README.md").write_text(page(), encoding="utf-8")
