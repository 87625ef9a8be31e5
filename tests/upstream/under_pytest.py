"""A pytest plugin that holds a framework's suite to the table of its excluded cases."""

from collections.abc import Generator

import pytest

from tests.upstream.exclusions import Ledger, Table


class HeldToTable:
    """Turns the expected failure of an excluded case into `xfailed`, and its success into a failure."""

    def __init__(self, table: Table) -> None:
        self._ledger = Ledger(table)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Compare the cases with the table."""
        self._ledger.collected(item.nodeid for item in session.items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge the part of a case that decides about it: the call, or whatever else failed or was skipped."""
        report = yield
        excluded = self._ledger.table.excluded(item.nodeid)
        if report.failed:
            complaint = self._ledger.failed(item.nodeid, report.longreprtext)
            if complaint is None and excluded is not None:
                report.outcome, report.wasxfail = "skipped", excluded.reason
            elif excluded is not None:
                report.sections.append(("exclusion", complaint or ""))
        elif report.skipped:
            self._ledger.skipped(item.nodeid)
        elif call.when == "call":
            complaint = self._ledger.passed(item.nodeid)
            if complaint is not None:
                report.outcome, report.longrepr = "failed", complaint
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run for what no single case shows."""
        if self._ledger.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the figures, last."""
        for complaint in self._ledger.complaints:
            terminalreporter.write_line(complaint)
        terminalreporter.write_line(self._ledger.summary())
