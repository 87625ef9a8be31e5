"""What reports say of sessions and replies that were to be equal."""

from typing import Any

import pytest
from attrs import evolve

from sessionguard.core import commands as c
from sessionguard.core.records import SessionRecord
from sessionguard.testing.contracts.explaining import explained
from sessionguard.testing.contracts.stage import Stage
from sessionguard.testing.model import ModelStore


@pytest.fixture
def record() -> SessionRecord:
    """A session with so many fields that pytest cuts its text."""
    store = ModelStore()
    opened: c.Opened = Stage(store.identify(c.Identify())).get_or_create("ana", data={"n": 1}).apply(store)
    return opened.record


def test_fields_that_differ_are_shown_in_full(record: SessionRecord) -> None:
    """And no others, also within replies."""
    other = evolve(record, version=7, owner="bea")
    lines = explained("==", record, other)
    assert lines is not None
    assert lines[1:] == ["owner: 'ana' != 'bea'", "version: 1 != 7"]
    lines = explained("==", c.Opened(record, ()), c.Opened(other, ()))
    assert lines is not None
    assert lines[1:] == ["record.owner: 'ana' != 'bea'", "record.version: 1 != 7"]


@pytest.mark.parametrize("is_left", [True, False])
def test_an_absent_side_is_said_to_be_absent(record: SessionRecord, is_left: bool) -> None:
    """With the session that is there in its short form."""
    pair = (None, record) if is_left else (record, None)
    lines = explained("==", *pair)
    assert lines is not None
    assert lines[1] == f"the {'left' if is_left else 'right'} side is absent: no SessionRecord"
    assert record.id[-6:] in lines[0]
    assert len(lines[0]) < 100


@pytest.mark.parametrize("operator, left, right", [("==", None, None), ("==", 1, None), ("is", None, "record")])
def test_other_comparisons_are_left_to_pytest(operator: str, left: Any, right: Any, record: SessionRecord) -> None:
    """Whatever has no session on either side, and whatever is not about being equal."""
    assert explained(operator, left, record if right == "record" else right) is None


FORGETS = """
from sessionguard.testing import PER_PROCESS
from sessionguard.testing.model import ModelStore

class Forgets(ModelStore):
    def get(self, command):
        return None

def test_it(store_contract):
    store_contract(Forgets, capabilities=PER_PROCESS, cases=["create_is_always_new"], modes=["blocking"])
"""


def test_a_report_says_that_a_session_is_absent(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> None:
    """Where a store has lost one, the report names it in short, and pytest says which question had no answer."""
    pytester.makepyfile(test_mine=FORGETS)
    has_plugin = request.config.pluginmanager.hasplugin("sessionguard")
    plugin = [] if has_plugin else ["-p", "sessionguard.testing.plugin"]
    result = pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert None == SessionRecord(*", "*the left side is absent: no SessionRecord*"])
