"""`sessionguard doctor`: what is wrong with a store, a place for files or their surroundings, and the remedy."""

import os
from argparse import ArgumentParser, Namespace

from attrs import asdict

from sessionguard.cli import status
from sessionguard.cli.output import print_json, visible
from sessionguard.cli.target import (
    URL_VARIABLE,
    Application,
    add_store_arguments,
    add_workspaces_argument,
    application_of,
    is_of_application,
    opened_examined_store,
    place_of,
)
from sessionguard.core.commands import Identify
from sessionguard.core.findings import Finding
from sessionguard.errors import ConfigurationError
from sessionguard.stores.contract import ExaminedStore
from sessionguard.workspaces.contract import ExaminedWorkspaces
from sessionguard.workspaces.opening import open_workspaces


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    add_store_arguments(parser)
    if not is_of_application(parser):
        add_workspaces_argument(parser, "folder or URL of the workspaces, to be examined as well")


def run(arguments: Namespace) -> int:
    """Examine and report; the status says whether there is a problem. Warnings alone are no problem."""
    application = application_of(arguments)
    findings = _findings_of_places(arguments) if application is None else _findings_of(application, arguments)
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level.ljust(7)}  {visible(finding.subject)}: {visible(finding.message)}")
            if finding.remedy and finding.level != "ok":
                print(f"         -> {visible(finding.remedy)}")
    return status.FAILED if any(finding.level == "problem" for finding in findings) else status.OK


def _findings_of_places(arguments: Namespace) -> list[Finding]:
    place = place_of(arguments)
    findings = [] if place is None else _findings_of_place(place)
    # Without a word about a store, whoever names a place for files means that alone.
    if place is None or arguments.store or os.environ.get(URL_VARIABLE):
        findings = [*_findings_of_store(arguments), *findings]
    return findings


def _findings_of(application: Application, arguments: Namespace) -> list[Finding]:
    store, workspaces = application.store, application.workspaces
    if isinstance(store, ExaminedStore):
        findings = _findings_of_store(arguments)
    else:
        store.identify(Identify())
        findings = [Finding("ok", store.name, "the store answers; there is nothing else to examine")]
    if isinstance(workspaces, ExaminedWorkspaces):
        findings += workspaces.examine()
    return [*findings, *application.findings]


def _findings_of_store(arguments: Namespace) -> list[Finding]:
    with opened_examined_store(arguments, must_exist=True) as store:
        return store.examine()


def _findings_of_place(setting: str) -> list[Finding]:
    place = open_workspaces(setting)
    if not isinstance(place, ExaminedWorkspaces):
        raise ConfigurationError.of_url(setting, "this place for files cannot examine itself", setting="--workspaces")
    return place.examine()
