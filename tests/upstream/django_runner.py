"""A test runner for Django's suite that holds it to the table of its excluded cases."""

import os
import sys
import unittest
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from django.test.runner import DiscoverRunner

from tests.upstream.exclusions import Ledger, Table


class HeldToTable(unittest.TextTestResult):
    """Takes the failure of an excluded case for what it must be, and its success for a failure."""

    ledger: ClassVar[Ledger]

    def startTest(self, test: unittest.TestCase) -> None:
        """Begin with nothing known of `test`."""
        super().startTest(test)
        self._shown: list[str] = []
        self._has_failed = self._is_skipped = False

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Keep the error of an excluded case; tell any other."""
        if not self._is_expected(test, err):
            super().addError(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Keep the failure of an excluded case; tell any other."""
        if not self._is_expected(test, err):
            super().addFailure(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Keep the failed part of an excluded case; tell any other."""
        if err is None or not self._is_expected(test, err):
            super().addSubTest(test, subtest, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Note what the suite skips itself."""
        super().addSkip(test, reason)
        self._is_skipped = True

    def stopTest(self, test: unittest.TestCase) -> None:
        """Judge `test`."""
        complaint = None
        if self._shown:
            complaint = self.ledger.failed(test.id(), "\n".join(self._shown))
        elif self._is_skipped:
            self.ledger.skipped(test.id())
        elif not self._has_failed:
            complaint = self.ledger.passed(test.id())
        if complaint is not None:
            self.failures.append((test, "\n".join([complaint, *self._shown])))
        super().stopTest(test)

    def _is_expected(self, test: unittest.TestCase, err: Any) -> bool:
        text = self._exc_info_to_string(err, test)  # type: ignore[attr-defined]
        if self.ledger.table.excluded(test.id()) is not None:
            self._shown.append(text)
            return True
        # Of a whole class or module, too, whose cases are not begun.
        self.ledger.failed(test.id(), text)
        self._has_failed = True
        return False


def _names(suite: Iterable[Any]) -> Iterator[str]:
    for case in suite:
        if isinstance(case, unittest.TestCase):
            yield case.id()
        else:
            yield from _names(case)


class HeldToTableRunner(DiscoverRunner):
    """Runs Django's cases, says their figures, and fails for what no single case shows."""

    def get_resultclass(self) -> type[HeldToTable]:
        """Give the judge of this run."""
        HeldToTable.ledger = Ledger(Table.of(os.environ["UPSTREAM_TABLE"]))
        return HeldToTable

    def run_suite(self, suite: Any, **options: Any) -> Any:
        """Compare the cases with the table, then run them."""
        cases = list(_names(suite))
        result = super().run_suite(suite, **options)
        HeldToTable.ledger.collected(cases)
        return result

    def suite_result(self, suite: Any, result: unittest.TestResult, **options: Any) -> int:
        """Give the number of failures, and of complaints about the table."""
        ledger = HeldToTable.ledger
        # Whatever the verbosity: a run without figures does not count.
        sys.stdout.write("\n".join([*ledger.complaints, ledger.summary(), ""]))
        return len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + len(ledger.complaints)
