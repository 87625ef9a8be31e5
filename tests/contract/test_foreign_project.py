"""A project that is not ours gets the whole kit with one subclass, and cannot drop a case of it without saying so."""

from pathlib import Path

import pytest

from sessionguard.testing import CI, Profile
from sessionguard.testing.contracts.catalogue import CASES, SUBJECTS

TEMPLATE = """
import pytest
from sessionguard.testing import PER_PROCESS, StoreContract
from sessionguard.testing.model import ModelStore

class TestMyStore(StoreContract):
    capabilities = PER_PROCESS

    @pytest.fixture
    def make_store(self):
        return {store}
{body}
"""


@pytest.fixture
def foreign(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> "Foreign":
    """A project of its own with strict settings, which has installed us."""
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n")
    # Without an entry point, as in an uninstalled checkout, the plugin has to be named.
    installed = request.config.pluginmanager.has_plugin("sessionguard")
    return Foreign(pytester, () if installed else ("-p", "sessionguard.testing.plugin"))


class Foreign:
    """A project of someone else's."""

    def __init__(self, pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
        self.pytester = pytester
        self.options = options

    def run(self, *arguments: str, body: str = "", store: str = "ModelStore") -> pytest.RunResult:
        """Run pytest there on a subclass with this body."""
        self.pytester.makepyfile(test_mine=TEMPLATE.format(body=body, store=store))
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *self.options, *arguments)


def test_one_subclass_gets_every_case(foreign: Foreign, sg_profile: Profile) -> None:
    """Five lines collect every case of the register in all its modes, and a right store passes or skips them.

    In short runs it does not play where callers meet: tests/contract/test_kit.py does that with the same store.
    """
    chosen = ("-k", "not meet") if sg_profile is CI else ()
    result = foreign.run("-q", "-rs", *chosen)
    outcomes = result.parseoutcomes()
    assert result.ret == 0, result.stdout.str()
    guards = 2
    collected = outcomes["passed"] + outcomes["skipped"] + outcomes.get("deselected", 0)
    assert collected == guards + sum(len(case.modes) for case in CASES.values())
    result.stdout.fnmatch_lines(["*the store declares Capabilities(processes=False, shared=False)*"])


@pytest.mark.parametrize(
    "body, complaint",
    [
        ("    test_the_first_reason_stays = None", "test_the_first_reason_stays is overridden or removed"),
        (
            "    def test_the_first_reason_stays(self): pass",
            "test_the_first_reason_stays is overridden or removed",
        ),
        (
            "    @pytest.mark.skip\n    def test_the_first_reason_stays(self): pass",
            "test_the_first_reason_stays is overridden or removed",
        ),
        (
            "    @pytest.mark.xfail\n    def test_the_first_reason_stays(self): assert False",
            "test_the_first_reason_stays is overridden or removed",
        ),
        ("    xfail = {'the_first_reason_stays': ' '}", "names the_first_reason_stays without a reason"),
        ("    xfail = {'no_such_case': 'because'}", "names no_such_case, which is no case"),
    ],
)
def test_a_dropped_case_is_noticed(foreign: Foreign, body: str, complaint: str) -> None:
    """A subclass that overrides a case, sets it to None or excuses it without a reason fails the guard."""
    result = foreign.run("-k", "test_the_kit_is_whole", body=body)
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines([f"*{complaint}*"])


def test_a_case_deleted_from_the_base_is_noticed(foreign: Foreign) -> None:
    """A case that is taken out of the class behind the kit's back fails the guard, and so does one not collected."""
    body = "TestMyStore.test_the_first_reason_stays = None"
    foreign.run("-k", "test_the_kit_is_whole", body=body).assert_outcomes(
        failed=1, deselected=foreign.run("-k", "test_the_kit_is_whole", body=body).parseoutcomes()["deselected"]
    )
    foreign.pytester.makeini("[pytest]\npython_functions = test_the_*\n")
    result = foreign.run("-k", "test_the_kit_is_whole")
    result.stdout.fnmatch_lines(["*was collected 0 times*"])


def test_the_guards_cannot_be_overridden(foreign: Foreign) -> None:
    """A subclass that overrides a guard is refused as it is defined."""
    result = foreign.run(body="    test_the_kit_is_whole = None")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["*TypeError: TestMyStore overrides test_the_kit_is_whole*"])


def test_a_declared_failure_is_played_all_the_same(foreign: Foreign) -> None:
    """A case in `xfail` with a reason is expected to fail, and is wrong once the store shows the behaviour."""
    foreign.pytester.makepyfile(
        mine="from sessionguard.testing.mutants.endings import TheLastReasonWins\nWrong = TheLastReasonWins\n"
    )
    body = "    xfail = {'the_first_reason_stays': 'issue 7 of my store'}"
    chosen = ("-k", "test_the_first_reason_stays or test_the_kit_is_whole", "-rx")
    wrong = foreign.run(*chosen, body=body, store="__import__('mine').Wrong")
    assert wrong.ret == 0, wrong.stdout.str()
    assert wrong.parseoutcomes()["xfailed"] == 2
    wrong.stdout.fnmatch_lines(["*issue 7 of my store*"])
    right = foreign.run(*chosen, body=body)
    assert right.parseoutcomes()["failed"] == 2
    right.stdout.fnmatch_lines(["*but passes; remove it from `xfail`*"])


def test_untrue_capabilities_are_noticed(foreign: Foreign) -> None:
    """A store that has an ability and declares it missing, to skip its cases, fails the guard."""
    body = "    capabilities = __import__('attrs').evolve(PER_PROCESS, locks=False)"
    result = foreign.run("-k", "test_the_capabilities_are_true", body=body)
    assert result.parseoutcomes()["failed"] == 1


@pytest.mark.parametrize(
    "store, body, told, skipped",
    [
        (
            "ModelStore",
            "    capabilities = __import__('sessionguard.testing').testing.Capabilities()",
            "what one store opens, another store of the same place does not find; *PER_PROCESS*",
            "the store has no shared, no processes, no durable: see test_the_capabilities_are_true",
        ),
        (
            "__import__('plain').PlainStore",
            "",
            "PlainStore lacks page; write that, or declare Capabilities(listing=False)",
            "the store has no listing, no locks, no leases, no fleet, no limits: see test_the_capabilities_are_true",
        ),
    ],
)
def test_an_ability_that_was_forgotten_fails_once(
    foreign: Foreign, store: str, body: str, told: str, skipped: str
) -> None:
    """What a store turns out not to have is one failure with its remedy; what needs it is skipped and says why."""
    foreign.pytester.makepyfile(plain="from tests.contract.test_plain import PlainStore")
    chosen = "capabilities_are_true or listing or another_connection or sessions_outlive or first_reason"
    result = foreign.run("-q", "-rs", "-k", f"{chosen} or only_the_holder", body=body, store=store)
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1, result.stdout.str()
    assert outcomes["passed"] > 1
    result.stdout.fnmatch_lines([f"*{told}*", f"*{skipped}*"])


def test_a_store_without_the_fixture_is_told(foreign: Foreign) -> None:
    """A subclass that does not say how to make its store errs with the name of the fixture."""
    foreign.pytester.makepyfile(
        test_bare="from sessionguard.testing import StoreContract\nclass TestBare(StoreContract): pass\n"
    )
    result = foreign.pytester.runpytest_inprocess(*foreign.options, "-k", "test_the_first_reason_stays", "test_bare.py")
    result.stdout.fnmatch_lines(["*TestBare must override the fixture make_store*"])


def test_the_plugin_does_not_disturb(pytester: pytest.Pytester, foreign: Foreign) -> None:
    """In a project that does not use the kit the plugin loads none of it, and not Hypothesis either."""
    pytester.makepyfile(
        test_plain="""
        import subprocess, sys
        def test_plain():
            code = (
                "import sys, pytest, sessionguard.testing.plugin\\n"
                "loaded = [n for n in sys.modules if n.startswith('sessionguard.testing.')]\\n"
                "assert loaded == ['sessionguard.testing.plugin'], loaded\\n"
                "assert 'hypothesis' not in sys.modules"
            )
            subprocess.run([sys.executable, "-c", code], check=True)
        """
    )
    pytester.runpytest_inprocess(*foreign.options, "test_plain.py").assert_outcomes(passed=1)


def test_the_profile_can_be_chosen(pytester: pytest.Pytester, foreign: Foreign) -> None:
    """`--sg-profile=deep` gives the deep counts to whoever asks for them."""
    pytester.makepyfile(test_it="def test_it(sg_profile): assert sg_profile.name == 'deep'")
    pytester.runpytest_inprocess(*foreign.options, "--sg-profile=deep", "test_it.py").assert_outcomes(passed=1)


def test_a_race_between_processes_needs_no_more(foreign: Foreign, tmp_path: Path) -> None:
    """A project whose store is reached by processes plays them with a factory that can be pickled."""
    foreign.pytester.makepyfile(
        test_mine="""
        from functools import partial
        import pytest
        from sessionguard.testing import StoreContract
        from sessionguard.testing.mutants.shelf import ShelfStore

        class TestMyStore(StoreContract):
            @pytest.fixture
            def make_store(self, tmp_path):
                return partial(ShelfStore, tmp_path / "db")
        """
    )
    result = foreign.pytester.runpytest_inprocess(
        *foreign.options, "-k", "test_one_end_is_the_first and processes", "test_mine.py"
    )
    assert result.parseoutcomes()["passed"] == 1


def test_a_lacking_ability_is_told_with_its_declaration(foreign: Foreign) -> None:
    """A store that lacks an ability and does not say so is told first which verbs to write, or what to declare."""
    foreign.pytester.makepyfile(
        mine="""
        from sessionguard.testing.model import ModelStore
        class Unlocked(ModelStore):
            def __getattribute__(self, name):
                if name.endswith("_lock"):
                    raise AttributeError(name)
                return super().__getattribute__(name)
        """
    )
    result = foreign.run("-x", store="__import__('mine').Unlocked")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*Unlocked lacks acquire_lock, renew_lock, release_lock; write that, or declare Capabilities(locks=False)*"]
    )


def test_cases_come_in_the_order_in_which_a_store_is_built(foreign: Foreign) -> None:
    """The kit's own checks come first, then opening, loading, saving and so on; the races are among the last."""
    subjects = [case.subject for case in CASES.values()]
    assert list(dict.fromkeys(subjects)) == list(SUBJECTS)
    result = foreign.run("--collect-only", "-q")
    names = [line.partition("::test_")[2].partition("[")[0] for line in result.outlines if "::" in line]
    assert list(dict.fromkeys(names)) == ["the_kit_is_whole", "the_capabilities_are_true", *CASES]
