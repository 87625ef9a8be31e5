"""Reports: the true order, the line that repeats it, one page without a network, XML and JSON that parse."""

import json
import re
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sessionguard.core.points import point
from sessionguard.testing.history import History, Operation, Verdict
from sessionguard.testing.history.model import Model
from sessionguard.testing.schedule import Failure, Interleaver, Outcome, Scenario
from sessionguard.testing.schedule.reports.drawing import MOST_EVENTS
from sessionguard.testing.schedule.reports.html import render_html
from sessionguard.testing.schedule.reports.junit import to_junit
from sessionguard.testing.schedule.reports.plain import to_json
from tests.testing.schedule.seeded import SEEDED


class Register(Model[str | None]):
    """The first one to open it is who it belongs to."""

    def initial(self) -> str | None:
        """Nobody yet."""
        return None

    def step(self, state: str | None, operation: Operation) -> list[str | None]:
        """Give the one it belongs to."""
        owner = state or operation.client
        return [owner] if operation.result == owner else []


def race(s: Scenario) -> None:
    """A check-then-insert, judged by a model."""
    rows: dict[str, str] = {}

    def get_or_create(me: str) -> None:
        with s.history.record(me, "get_or_create", key="<alice>") as op:
            point("SELECT", "<alice>", "r")
            if "alice" not in rows:
                point("INSERT", "<alice>", "w")
                rows["alice"] = me
            op.ok(rows["alice"])

    def linearizable(history: History) -> Verdict:
        return history.linearizable(Register)

    for name in ("a", "b"):
        s.worker(name, partial(get_or_create, name))
    s.check(linearizable)


def failure_of(outcome: Outcome) -> Failure:
    """Give the failure, which there must be."""
    assert outcome.failure is not None
    return outcome.failure


def test_the_table_tells_the_true_order() -> None:
    """One column for each worker, one row for each event in the order in which it happened."""
    lines = failure_of(Interleaver().run(race)).render().splitlines()
    assert lines[0].startswith("RACE  no order explains what")
    assert lines[1].split("|")[1:3] == [" worker a                 ", " worker b                 "]
    cells = [[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:8]]
    assert cells == [
        ["get_or_create('<alice>')", ""],
        ["SELECT <alice>", ""],
        ["~~~ preempted ~~~", "get_or_create('<alice>')"],
        ["", "SELECT <alice>"],
        ["", "INSERT <alice>  => 'b'"],
        ["INSERT <alice>  => 'a'", ""],
    ]
    assert lines[7].rstrip().endswith("get_or_create")


def test_the_report_says_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a test it is the command of that test; elsewhere the argument."""
    failure = failure_of(Interleaver().run(race))
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "tests/test_store.py::TestStore::test_open[a b] (call)")
    assert (
        "reproduce: pytest 'tests/test_store.py::TestStore::test_open[a b]' "
        "--sg-replay='sg1:a@INSERT#1;b@end;a@end'" in failure.render()
    )
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert "reproduce: replay='sg1:a@INSERT#1;b@end;a@end'" in failure.render()


def test_the_state_after_each_step_is_shown_if_the_scenario_shows_one() -> None:
    """One more column holds what the scenario shows, after each access."""

    def scenario(s: Scenario) -> None:
        rows: list[str] = []
        s.show(lambda: rows)

        def insert(me: str) -> None:
            point("SELECT", "rows", "r")
            if not rows:
                point("INSERT", "rows", "w")
                rows.append(me)

        def one_row(history: History) -> None:
            assert len(rows) <= 1

        for name in ("a", "b"):
            s.worker(name, partial(insert, name))
        s.check(one_row)

    failure = failure_of(Interleaver().run(scenario))
    table = [line.split("|") for line in failure.render().splitlines()[1:6]]
    assert [cells[3].strip() for cells in table] == ["state", "[]", "[]", "['b']", "['b', 'a']"]
    assert "INSERT rows -&gt; [&#x27;b&#x27;]" in render_html(failure)
    assert failure.as_json()["minimal"]["steps"][-1]["state"] == "['b', 'a']"


def test_the_verdict_of_the_checker_is_told() -> None:
    """The operation that fits nowhere stands below the table."""
    assert "get_or_create" in failure_of(Interleaver().run(race)).render().split("reproduce:")[1]


def test_what_a_worker_raised_is_told_with_its_last_frames() -> None:
    """The report shows where it was raised, from the scenario on, and the harness that called it is left out."""

    def look_up(rows: dict[str, str], owner: str) -> str:
        point("SELECT", owner, "r")
        return rows[owner]

    async def look_up_in_a_task() -> None:
        look_up({}, "alice")

    def in_a_thread(s: Scenario) -> None:
        s.worker("a", partial(look_up, {}, "alice"))

    def in_a_task(s: Scenario) -> None:
        s.task("a", look_up_in_a_task)

    def in_a_check(s: Scenario) -> None:
        s.worker("a", partial(point, "SELECT", "alice", "r"))
        s.check(lambda history: look_up({}, "alice"))  # type: ignore[arg-type, return-value]

    for scenario in (in_a_thread, in_a_task, in_a_check):
        failure = failure_of(Interleaver().run(scenario))
        lines = failure.render().partition("raised here")[2].splitlines()[1:]
        assert re.search(r'test_reports.py", line \d+, in look_up', lines[-2])
        assert lines[-1].strip() == "return rows[owner]"
        assert "testing/schedule/threads.py" not in failure.render()
        assert "return rows[owner]" in render_html(failure)
        assert failure.as_json()["frames"][-1].strip() == "return rows[owner]"
    assert "raised here" not in failure_of(Interleaver().run(race)).render()


def test_only_the_last_frames_are_told() -> None:
    """A deep recursion does not bury the table."""

    def dig(depth: int) -> None:
        if depth == 0:
            raise LookupError("deep")
        dig(depth - 1)

    failure = failure_of(Interleaver().run(lambda s: s.worker("a", partial(dig, 100))))
    assert len(failure.render().partition("raised here")[2].splitlines()) == 11


@pytest.mark.parametrize("seeded", SEEDED, ids=lambda seeded: seeded.number)
def test_every_seeded_race_can_be_told(seeded: object) -> None:
    """Each report has every column, the message and the id; its page is whole."""
    failure = failure_of(Interleaver().run(seeded.mutant))  # type: ignore[attr-defined]
    text = failure.render()
    assert all(f"worker {name}" in text for name in failure.minimal.names)
    assert failure.replay_id in text
    assert failure.verdict.message in text
    assert "</html>" in render_html(failure)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """One file: no script, no address, nothing loaded; what the scenario is called cannot change its markup."""
    page = tmp_path / "race.html"
    failure_of(Interleaver().run(race)).write_html(page)
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?:src|href|url|@import)\s*[=(]", text) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in text
    assert "<alice>" not in text
    assert "&lt;alice&gt;" in text
    svg = re.search(r"<svg.*</svg>", text, re.DOTALL)
    assert svg is not None
    drawing = ElementTree.fromstring(svg.group())
    styles = {element.get("class") for element in drawing.iter()}
    assert {"lane", "tick", "switch", "stuck"} <= styles


def test_the_page_shows_what_would_have_gone_well() -> None:
    """Beside the race stands the same schedule without the interruption, and that one passes."""
    failure = failure_of(Interleaver().run(race))
    assert failure.passing is not None
    assert failure.passing.violation is None
    assert failure.passing.preemptions == failure.minimal.preemptions - 1
    assert "it goes well" in render_html(failure)


def test_a_long_schedule_is_drawn_in_part() -> None:
    """No more than so many events are drawn, and the page says how many are left out."""

    def scenario(s: Scenario) -> None:
        def work() -> None:
            for _ in range(MOST_EVENTS + 10):
                point("step", "x", "r")
            raise LookupError

        s.worker("a", work)

    text = render_html(failure_of(Interleaver("serial", shrink_seconds=0.0).run(scenario)))
    assert text.count('class="tick"') <= MOST_EVENTS
    assert "10 more events are not drawn" in text


def test_json_holds_everything() -> None:
    """What failed, the id, the exact choices, the steps and the history."""
    outcome = Interleaver().run(race)
    told = json.loads(to_json(outcome))
    assert told["failure"]["replay_id"] == failure_of(outcome).replay_id
    minimal = told["failure"]["minimal"]
    assert len(minimal["tape"]) == len(minimal["steps"])
    assert {step["worker"] for step in minimal["steps"]} == {"a", "b"}
    assert [operation["result"] for operation in minimal["history"]] == ["a", "b"]
    assert json.loads(to_json(Interleaver().run(SEEDED[0].twin)))["failure"] is None


def test_junit_has_a_case_for_each_scenario() -> None:
    """A failed case holds the report, a passed one what was explored; no character breaks the XML."""
    outcomes = {"race\x00 & <co>": Interleaver().run(race), "twin": Interleaver().run(SEEDED[0].twin)}
    suite = ElementTree.fromstring(to_junit(outcomes))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed, passed = suite.findall("testcase")
    assert failed.find("failure") is not None
    assert "worker a" in (failed.findtext("failure") or "")
    assert "at the declared points" in (passed.findtext("system-out") or "")


def test_nothing_found_is_not_called_a_proof() -> None:
    """Only source-DPOR that has nothing left says "all"; a bounded or random search says that there are more."""
    assert "all schedules at the declared points" in Interleaver("dpor").run(SEEDED[0].twin).describe()
    assert "no faults" in Interleaver("dpor").run(SEEDED[0].twin).describe()
    for strategy in ("urw", "pos", "pct3", "serial"):
        described = Interleaver(strategy).run(SEEDED[0].twin).describe()
        assert "all" not in described
        assert "there are more" in described
