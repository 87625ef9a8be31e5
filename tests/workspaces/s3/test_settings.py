"""From a URL to a place in a bucket: what does not do is refused, and nothing that may be secret is shown."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sessionguard import SessionGuard
from sessionguard.cli.__main__ import main
from sessionguard.core.session import Removed
from sessionguard.errors import ConfigurationError, WorkspaceUnavailableError
from sessionguard.testing.servers import S3Server
from sessionguard.workspaces.opening import open_workspaces
from sessionguard.workspaces.s3 import S3Workspaces, Settings, open_s3
from sessionguard.workspaces.s3.bucket import Bucket
from sessionguard.workspaces.s3.settings import read_url


def test_a_url_names_the_bucket_the_prefix_and_the_vendor() -> None:
    """By the entry point, any program may name object storage where it would name a folder."""
    url = "s3://bucket/a/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1&patience=3&safety_hours=48"
    opened = open_workspaces(url)
    assert isinstance(opened, S3Workspaces)
    assert opened.settings == Settings(
        bucket="bucket",
        prefix="a/prefix/",
        endpoint="http://127.0.0.1:9000",
        region="eu-central-1",
        patience_seconds=3,
        safety_hours=48,
    )
    assert repr(opened) == "<S3Workspaces in s3://bucket/a/prefix>"
    assert opened.leases_in_store
    full = "s3://bucket/a/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1"
    assert opened.settings.full_url == full
    again = open_workspaces(full + "&path_style=false")
    assert isinstance(again, S3Workspaces)
    assert again.settings.full_url == full + "&path_style=false"


def test_the_bucket_is_in_the_path_where_another_vendor_is_named() -> None:
    """Unless the URL says otherwise."""
    assert not read_url("s3://bucket", {}).uses_path_style
    assert read_url("s3://bucket", {"endpoint": "https://storage"}).uses_path_style
    assert not read_url("s3://bucket", {"endpoint": "https://storage", "path_style": "false"}).uses_path_style
    assert read_url("s3://bucket", {"path_style": "true"}).uses_path_style


@pytest.mark.parametrize(
    "url, options",
    [
        ("s3://key:hunter2@bucket/prefix", {}),
        ("s3://Bucket", {}),
        ("s3://", {}),
        ("s3://bucket/a//b", {}),
        ("s3://bucket/a b", {}),
        ("s3://bucket/" + "a" * 600, {}),
        ("s3://bucket", {"endpoint": "https://user:hunter2@storage"}),
        ("s3://bucket", {"endpoint": "storage:9000"}),
        ("s3://bucket", {"secret": "hunter2"}),
        ("s3://bucket", {"hunter2@host/": ""}),
        ("s3://key:p?hunter2@bucket", {"hunter2@bucket": ""}),
        ("s3://bucket", {"endpoint": "user:hunter2@storage"}),
        ("s3://bucket", {"endpoint": "https://storage?key=hunter2"}),
    ],
)
def test_what_does_not_do_is_refused_without_being_shown(url: str, options: dict[str, str]) -> None:
    """An error names the setting and the remedy, and repeats no credentials."""
    with pytest.raises(ConfigurationError) as refused:
        open_s3(url, options)
    assert "hunter2" not in str(refused.value)
    assert refused.value.setting.startswith("workspaces")


@pytest.mark.parametrize(
    "place, options, setting, value",
    [
        ("Bucket", {}, "bucket", "Bucket"),
        ("bucket/../x", {}, "prefix", "../x/"),
        ("bucket/a/.", {}, "prefix", "a/./"),
        ("bucket", {"endpoint": "https://user:hunter2@storage:9000/x"}, "endpoint", "https://***@storage:9000/x"),
        ("bucket", {"endpoint": "storage:9000"}, "endpoint", "storage:9000"),
        ("bucket", {"region": "Europe!"}, "region", "Europe!"),
        ("bucket", {"path_style": "yes"}, "path_style", "yes"),
        ("bucket", {"patience": "x"}, "patience", "x"),
        ("bucket", {"connections": "1.5"}, "connections", "1.5"),
        ("bucket", {"connections": "inf"}, "connections", "inf"),
    ],
)
def test_what_is_no_secret_is_shown(place: str, options: dict[str, str], setting: str, value: str) -> None:
    """The part of the URL that is wrong is named, and shown as it was given."""
    with pytest.raises(ConfigurationError) as error:
        open_s3(f"s3://{place}", options)
    assert (error.value.setting, error.value.value) == (f"workspaces, {setting}", repr(value))


def test_numbers_out_of_range_are_refused() -> None:
    """Each with the range there is."""
    for options in ({"patience": "0"}, {"safety_hours": "0"}, {"connections": "0"}, {"patience": "nan"}):
        with pytest.raises(ConfigurationError, match="give a number from"):
            open_s3("s3://bucket", options)
    assert open_s3("s3://bucket/..a/b..", {}).settings.prefix == "..a/b../"


def refused(s3_server: S3Server, bucket: str = "sessions") -> ConfigurationError:
    """Give the error of opening workspaces that cannot be."""
    with pytest.raises(ConfigurationError) as error:
        open_s3(f"s3://{bucket}", {"endpoint": s3_server.endpoint}).open("deployment")
    return error.value


def test_a_bucket_that_is_not_there_is_told(s3_server: S3Server) -> None:
    """With the remedy."""
    assert str(refused(s3_server, "missing")) == (
        f"workspaces = 's3://missing?endpoint={s3_server.endpoint}': "
        "there is no such bucket (swap: NoSuchBucket); make it, or correct its name"
    )


def test_missing_credentials_are_told(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of the variables that would give them."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "AWS_ACCESS_KEY_ID" in str(refused(s3_server))
    assert finding(s3_server) == ("no credentials were found (list: NoCredentialsError)", "set AWS_ACCESS_KEY_ID and")


def finding(s3_server: S3Server, bucket: str = "sessions") -> tuple[str, str]:
    """Give what the doctor says of the bucket, without its name, and the first words of the remedy."""
    (found,) = open_s3(f"s3://{bucket}", {"endpoint": s3_server.endpoint}).examine()
    assert (found.level, found.subject) == ("problem", "bucket")
    place, _, problem = found.message.partition(": ")
    assert place == f"s3://{bucket}?endpoint={s3_server.endpoint}"
    return problem, " ".join(found.remedy.split()[:3])


def test_the_doctor_tells_a_missing_bucket_from_one_that_does_not_answer(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an unknown key from a right that is missing, all of which it lists."""
    assert finding(s3_server, "missing") == ("there is no such bucket (list: NoSuchBucket)", "make it, or")
    place = open_s3("s3://sessions/a", {"endpoint": s3_server.endpoint})

    def examined(code: str) -> str:
        def refuse(**_: object) -> None:
            raise ClientError({"Error": {"Code": code}}, "ListObjectsV2")

        monkeypatch.setattr(place._bucket._client, "list_objects_v2", refuse)
        (found,) = place.examine()
        return f"{found.message} -> {found.remedy}"

    assert "the credentials are not known there (list: InvalidAccessKeyId) -> correct" in examined("InvalidAccessKeyId")
    for code in ("AccessDenied", "403"):
        denied = examined(code)
        assert "on arn:aws:s3:::sessions/a/*, and s3:ListBucket and" in denied
        assert "doctor" not in denied


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    """With the bucket, and the command that looks for the cause; which itself names what may be wrong."""
    place = open_s3("s3://sessions/a", {"endpoint": "http://127.0.0.1:9", "patience": "0.1"})
    url = "s3://sessions/a?endpoint=http://127.0.0.1:9"
    with pytest.raises(WorkspaceUnavailableError) as error:
        place.open("deployment")
    assert str(error.value) == (
        f"workspaces: swap: EndpointConnectionError at 127.0.0.1:9 (workspaces = '{url}'); it may or may not "
        f"have been done, and may be repeated; `sessionguard doctor --workspaces '{url}'` looks for the cause"
    )
    with pytest.raises(WorkspaceUnavailableError) as error:
        place._bucket.get("a")
    assert "may not have been done" not in str(error.value)
    (found,) = place.examine()
    assert found.message == f"{url}: it could not be asked (list: EndpointConnectionError at 127.0.0.1:9)"
    assert found.remedy.startswith("see whether http://127.0.0.1:9 answers from here")


def test_an_endpoint_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its host, for there may be a password in it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:hunter2@127.0.0.1:9")
    (found,) = open_s3("s3://sessions", {"patience": "0.1"}).examine()
    assert found.message == "s3://sessions: it could not be asked (list: EndpointConnectionError at 127.0.0.1:9)"
    assert "hunter2" not in found.remedy


@pytest.mark.parametrize("ignored", ["IfMatch", "IfNoneMatch"])
def test_a_place_that_ignores_conditions_is_refused(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, ignored: str
) -> None:
    """Some that speak S3 take every condition for true; there two writers would overwrite one another."""
    place = open_s3("s3://sessions/ignoring", {"endpoint": s3_server.endpoint})
    client = place._bucket._client
    honest = client.put_object

    def put(**parameters: object) -> object:
        parameters.pop(ignored, None)
        return honest(**parameters)

    monkeypatch.setattr(client, "put_object", put)
    with pytest.raises(ConfigurationError, match="does not honour conditional requests"):
        place.open("deployment")
    assert [finding.level for finding in place.examine()] == ["ok", "problem", "ok", "warning", "ok"]


def test_the_doctor_tells_what_is_wrong(s3_server: S3Server) -> None:
    """A rule that ends files, versions that are kept, no rule for uploads: each is told with its remedy."""
    place = open_s3("s3://sessions/examined", {"endpoint": s3_server.endpoint})
    client = place._bucket._client
    client.create_bucket(Bucket="other")
    other = open_s3("s3://other/examined", {"endpoint": s3_server.endpoint})

    def rules(**rule: object) -> None:
        named = {"ID": "1", "Status": "Enabled", "Filter": {"Prefix": "exam"}, **rule}
        client.put_bucket_lifecycle_configuration(Bucket="other", LifecycleConfiguration={"Rules": [named]})

    def levels() -> dict[str, str]:
        return {finding.subject: finding.level for finding in other.examine()}

    expected = {"bucket": "ok", "conditions": "ok", "rights": "ok", "lifecycle": "warning", "versions": "ok"}
    assert levels() == expected
    rules(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2})
    assert levels() == {**expected, "lifecycle": "ok"}
    rules(Expiration={"Days": 3})
    client.put_bucket_versioning(Bucket="other", VersioningConfiguration={"Status": "Enabled"})
    assert levels() == {**expected, "lifecycle": "problem", "versions": "warning"}
    missing = open_s3("s3://missing", {"endpoint": s3_server.endpoint})
    assert [(finding.subject, finding.level) for finding in missing.examine()] == [("bucket", "problem")]


def test_doctor_examines_a_place_for_files(s3_server: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    """`sessionguard doctor --workspaces` needs no store; a missing bucket is a problem, as is a folder of all."""
    url = f"s3://sessions/doctor?endpoint={s3_server.endpoint}"
    assert main(["doctor", "--workspaces", url]) == 0
    assert "ok       conditions: " in capsys.readouterr().out
    assert main(["doctor", "--workspaces", url.replace("sessions", "missing")]) == 1
    assert main(["doctor", "--workspaces", "/tmp"]) == 1


def test_a_guard_keeps_files_in_a_bucket(s3_server: S3Server, tmp_path: Path) -> None:
    """All that a guard does with workspaces it does there: lend, remove, sweep."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    url = f"s3://sessions/guard?endpoint={s3_server.endpoint}"
    store = f"sqlite:///{tmp_path / 'sessions.db'}"
    with SessionGuard.open(store, workspaces=url, sweep_interval=None, clock=lambda: now[0]) as guard:
        ended, expired = guard.create("ana"), guard.create("eva")
        for session in (ended, expired):
            with guard.workspace(session) as workspace:
                workspace.write("a", b"123")
        done = guard.end(ended)
        assert done is not None
        assert done.removed == Removed(files=1, bytes=3)
        now[0] += timedelta(days=30)
        report = guard.sweep()
        assert (report.ended, report.workspaces_removed, report.bytes_freed) == (1, 1, 3)
    assert Bucket(read_url(url, {"endpoint": s3_server.endpoint})).page("guard/", None).objects == []
