"""The direction of imports inside `flowsim.pictures`: kit < pictures < animation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flowsim

PICTURES = Path(flowsim.__file__).parent / "pictures"


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("kit", r"kit\b"), (".", r"(?!animation\b)")],
)
def test_imports_go_downwards(folder: str, allowed: str) -> None:
    for file in PICTURES.joinpath(folder).glob("*.py"):
        found = re.findall(r"^\s*from flowsim\.pictures(.*)", file.read_text("utf-8"), re.MULTILINE)
        assert found or file.name == "__init__.py" or folder == "kit"
        for module in found:
            assert re.match(r"(\.| import )" + allowed, module), f"{file.name}: {module}"
