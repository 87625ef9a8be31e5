"""`sessionguard doctor`: what is wrong with a store, a place for files or their surroundings, and the remedy."""

import os
from argparse import ArgumentParser, Namespace

from attrs import asdict

from sessionguard.cli import status
from sessionguard.cli.output import print_json, visible
from sessionguard.cli.target import (
    URL_VARIABLE,
    add_store_arguments,
    add_workspaces_argument,
    opened_examined_store,
    place_of,
)
from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError
from sessionguard.workspaces.contract import ExaminedWorkspaces
from sessionguard.workspaces.opening import open_workspaces


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_store_arguments(parser)
    add_workspaces_argument(parser, "folder or URL of the workspaces, to be examined as well")


def run(arguments: Namespace) -> int:
    """Examine and report; the status says whether there is a problem. Warnings alone are no problem."""
    place = place_of(arguments)
    findings = [] if place is None else _findings_of_place(place)
    # Without a word about a store, whoever names a place for files means that alone.
    if place is None or arguments.store or os.environ.get(URL_VARIABLE):
        with opened_examined_store(arguments, must_exist=True) as store:
            findings = [*store.examine(), *findings]
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level.ljust(7)}  {visible(finding.subject)}: {visible(finding.message)}")
            if finding.remedy and finding.level != "ok":
                print(f"         -> {visible(finding.remedy)}")
    return status.FAILED if any(finding.level == "problem" for finding in findings) else status.OK


def _findings_of_place(setting: str) -> list[Finding]:
    place = open_workspaces(setting)
    if not isinstance(place, ExaminedWorkspaces):
        raise ConfigurationError.of_url(setting, "this place for files cannot examine itself", setting="--workspaces")
    return place.examine()
