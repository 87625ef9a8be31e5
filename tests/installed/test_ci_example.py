"""`examples/ci`: the workflow is what continuous integration takes, and each of its steps does what it says."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from sessionguard.testing import CI, Profile
from tests.architecture.source_tree import REPOSITORY
from tests.installed.conftest import Installed

EXAMPLE = REPOSITORY / "examples" / "ci"
WORKFLOW: dict[Any, Any] = yaml.safe_load((EXAMPLE / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
JOB = WORKFLOW["jobs"]["tests"]
STEPS = {step["name"]: step for step in JOB["steps"] if "name" in step}
RUN = {name: step["run"] for name, step in STEPS.items() if "run" in step}
INSTALL, CONTRACT, RACE = RUN.values()

LOCKED = "        with self._lock:\n"

pytestmark = pytest.mark.processes


@pytest.fixture
def project(tmp_path: Path, installed: Installed) -> Path:
    """A copy of the example as it is after checking out, with the wheel that was built."""
    project = tmp_path / "shop"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    (project / "wheels").mkdir()
    shutil.copy(installed.wheel, project / "wheels")
    return project


def test_the_workflow_tests_every_python_and_keeps_reports() -> None:
    """Each Python of the package has a column; what fails leaves races and JUnit files that are uploaded."""
    assert JOB["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert WORKFLOW[True].keys() == {"push", "pull_request", "schedule"}  # YAML 1.1 reads `on` as true.
    upload = STEPS["Keep the reports of what failed"]
    assert (upload["if"], upload["with"]["path"]) == ("failure()", "reports")
    written = re.findall(r"(?:--\S+=|--junit )(reports/\S+)", " ".join(RUN.values()))
    assert sorted(written) == ["reports/contract.xml", "reports/races", "reports/searches.jsonl", "reports/tests.xml"]
    assert all("uses" in step or "run" in step for step in JOB["steps"])


def test_every_step_passes_offline(project: Path, installed: Installed, sg_profile: Profile) -> None:
    """Install, contract and tests succeed in turn, with nothing but the wheel and what its extra brought."""
    # In short runs without the races of its store, which is ours in memory: tests/contract/test_memory.py plays them.
    short = {CONTRACT: f"{CONTRACT} -k 'not meet'"} if sg_profile is CI else {}
    for name, command in RUN.items():
        done = installed.run(short.get(command, command), project, SG_PROFILE="ci")
        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"
    suite = ElementTree.parse(project / "reports" / "contract.xml").getroot()[0]
    assert int(suite.get("tests", "0")) > 300
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    [line] = (project / "reports" / "searches.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["exhausted"]


def test_a_planted_race_fails_its_step_and_can_be_replayed(project: Path, installed: Installed) -> None:
    """Without its lock the stock is sold twice: reports are left, the id repeats it, and `replay` sees it mended."""
    stock = project / "shop" / "stock.py"
    right = stock.read_text("utf-8")
    stock.write_text(right.replace(LOCKED, "        if True:\n"), encoding="utf-8")
    done = installed.run(RACE, project, SG_PROFILE="ci")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "RACE  sold twice" in done.stdout
    assert sorted(path.name for path in (project / "reports").iterdir()) == ["races", "searches.jsonl", "tests.xml"]
    [saved] = (project / "reports" / "races").glob("*.json")
    small = json.loads(saved.read_text("utf-8"))["failure"]["minimal"]
    assert len(small["workers"]) == 2
    assert small["preemptions"] == 1
    found = re.search(r"reproduce: pytest (\S+) (--sg-replay='\S+')", done.stdout)
    assert found is not None
    again = installed.run(f"python -m pytest {found[1]} {found[2]}", project)
    assert again.returncode == 1
    assert "sold twice" in again.stdout
    replay = f"sessionguard replay {saved.relative_to(project)}"
    assert installed.run(replay, project).returncode == 1
    stock.write_text(right, encoding="utf-8")
    mended = installed.run(replay, project)
    # Its points are there still, but the lock lets nobody come between them.
    assert mended.returncode in (0, 2), mended.stderr
    assert "sold twice" not in mended.stdout
