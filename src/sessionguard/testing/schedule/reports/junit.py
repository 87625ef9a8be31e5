"""JUnit XML: one test case for each scenario, as continuous integration reads it."""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree

from sessionguard.testing.schedule.outcome import Outcome

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(outcomes: Mapping[str, Outcome], suite: str = "interleavings") -> str:
    """Give the outcomes, by the names of their scenarios, as one test suite."""
    failed = sum(not outcome.ok for outcome in outcomes.values())
    seconds = sum(outcome.seconds for outcome in outcomes.values())
    root = ElementTree.Element(
        "testsuite",
        name=suite,
        tests=str(len(outcomes)),
        failures=str(failed),
        errors="0",
        skipped="0",
        time=f"{seconds:.3f}",
    )
    for name, outcome in outcomes.items():
        case = ElementTree.SubElement(
            root, "testcase", classname=suite, name=_legal(name), time=f"{outcome.seconds:.3f}"
        )
        if outcome.failure is not None:
            violation = outcome.failure.verdict
            told = ElementTree.SubElement(case, "failure", message=_legal(violation.message), type=violation.reason)
            told.text = _legal(outcome.failure.render())
        said = ElementTree.SubElement(case, "system-out")
        said.text = _legal(outcome.describe())
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _legal(text: str) -> str:
    """Give the text without the characters that XML cannot hold."""
    return _FORBIDDEN.sub("�", text)
