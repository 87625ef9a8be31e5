"""Where the bucket is and how to speak to it, read from a URL; no secret is ever in it, nor shown."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import Attribute, field, frozen

from sessionguard.errors import ConfigurationError

if TYPE_CHECKING:
    from sessionguard.workspaces.s3.workspaces import S3Workspaces

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; other vendors allow no more.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# What the "safe characters" of https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html allow, without
# `.` and `..`: proxies and tools take those for steps, and reach other keys.
_PREFIX: Final = re.compile(r"(?:(?!\.{1,2}/)[A-Za-z0-9!_.*'()-]+/)*", re.ASCII)
_ENDPOINT: Final = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?/?")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
_LONGEST_PREFIX: Final = 512
_OPTIONS: Final = frozenset({"endpoint", "region", "path_style", "patience", "connections", "safety_hours"})

MEBIBYTE: Final = 1024 * 1024
SMALLEST_PART: Final = 5 * MEBIBYTE
"""Of all parts of one upload but the last (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html)."""
MOST_PARTS: Final = 10_000


def _matching(pattern: re.Pattern[str], remedy: str) -> Any:
    def validate(_: Any, attribute: "Attribute[str | None]", value: object) -> None:
        if value is not None and (not isinstance(value, str) or pattern.fullmatch(value) is None):
            raise ConfigurationError(f"workspaces, {attribute.name}", _without_credentials(value), remedy)

    return validate


def _without_credentials(value: object) -> object:
    """Give a value as it may be shown; a user and a password before a host, and options, are replaced by stars."""
    if not isinstance(value, str):
        return value
    credentials, at, place = value.rpartition("@")
    scheme = credentials.partition("://")[0] + "://" if "://" in credentials else ""
    shown, mark, _ = place.partition("?")
    return f"{scheme}{'***@' if at else ''}{shown}{'?***' if mark else ''}"


def _between(least: float, most: float) -> Any:
    def validate(_: Any, attribute: "Attribute[float]", value: Any) -> None:
        if not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigurationError(
                f"workspaces, {attribute.name}", value, f"give a number from {least:g} to {most:g}"
            )

    return validate


@frozen(kw_only=True)
class Settings:
    """What decides where the files are and how they get there.

    Raises:
        ConfigurationError: a value is not possible.
    """

    bucket: str = field(validator=_matching(_BUCKET, "a bucket is 3 to 63 lower-case letters, digits, dots, hyphens"))
    prefix: str = field(
        default="",
        validator=_matching(
            _PREFIX, "a prefix is letters, digits and !_.*'()- between single slashes, without the steps . and .."
        ),
    )
    """Before all keys; it ends with a slash, so that `a` does not reach what lies below `ab`."""
    endpoint: str | None = field(
        default=None, validator=_matching(_ENDPOINT, "give https://host:port, without user, path or options")
    )
    """Of another vendor than AWS; the environment (AWS_ENDPOINT_URL_S3) may also name it."""
    region: str | None = field(default=None, validator=_matching(_REGION, "give the name of a region: eu-central-1"))
    path_style: bool | None = None
    """Whether the bucket is in the path instead of the host name. None: where an endpoint is named, as most need it."""
    patience_seconds: float = field(default=20.0, validator=_between(0.05, 3600))
    """How long a call waits for an answer, and repeats a change that others came before."""
    connections: int = field(default=16, validator=_between(1, 1000))
    safety_hours: float = field(default=24.0, validator=_between(1, 24 * 365))
    """What no manifest names is removed when it is older than this."""
    part_bytes: int = field(default=SMALLEST_PART, validator=_between(SMALLEST_PART, 1024 * MEBIBYTE))
    """A file may have 10,000 parts, so this bounds its size: 48.8 GiB. An upload holds four of them in memory."""

    @prefix.validator
    def _is_short(self, _: Any, value: str) -> None:
        # A key may have 1024 bytes.
        if len(value) > _LONGEST_PREFIX:
            raise ConfigurationError("workspaces, prefix", value, f"give at most {_LONGEST_PREFIX} characters")

    @property
    def uses_path_style(self) -> bool:
        """Whether the bucket is in the path."""
        return self.endpoint is not None if self.path_style is None else self.path_style

    @property
    def safety_age(self) -> timedelta:
        """How old something that no manifest names must be to be removed."""
        return timedelta(hours=self.safety_hours)

    @property
    def url(self) -> str:
        """The place, as it may be shown."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def full_url(self) -> str:
        """The place and the options that lead to it, as they may be shown, and given to a command."""
        named = {"endpoint": self.endpoint, "region": self.region}
        if self.path_style is not None:
            named["path_style"] = str(self.path_style).lower()
        options = "&".join(f"{name}={value}" for name, value in named.items() if value is not None)
        return f"{self.url}?{options}" if options else self.url


def open_s3(url: str, options: Mapping[str, str]) -> "S3Workspaces":
    """Give the workspaces in `s3://bucket/prefix`; nothing is asked of the bucket yet.

    Credentials come from where the AWS tools find them: the environment, ~/.aws, the container or the instance.
    Options: `endpoint=https://host:port` and `region` of another vendor; `path_style=true|false`; `patience=SECONDS`
    (20); `connections` (16); `safety_hours` (24), after which what no manifest names is removed.

    Raises:
        ConfigurationError: the URL does not do; nothing that may be secret is in the message.
    """
    from sessionguard.workspaces.s3.workspaces import S3Workspaces

    return S3Workspaces(read_url(url, options))


def read_url(url: str, options: Mapping[str, str]) -> Settings:
    """Give the settings that `url` stands for, its options given apart.

    Raises:
        ConfigurationError: it does not do; nothing that may be secret is in the message.
    """
    place = url.partition("?")[0].partition("://")[2]
    # Also behind the `?`, which may be a part of the password.
    if "@" in url:
        remedy = (
            "credentials do not belong in the URL; put them into the environment (AWS_ACCESS_KEY_ID, ...) or a role"
        )
        raise ConfigurationError.of_url(url, remedy, setting="workspaces")
    for name in options.keys() - _OPTIONS:
        # What is no name may be the rest of a password.
        unknown = f"unknown option {name}" if re.fullmatch(r"[a-z_]+", name, re.IGNORECASE) else "unknown option"
        remedy = f"{unknown}; known: {', '.join(sorted(_OPTIONS))}"
        raise ConfigurationError.of_url(url, remedy, setting="workspaces")
    bucket, _, prefix = place.partition("/")
    prefix = prefix.strip("/")
    return Settings(
        bucket=bucket,
        prefix=prefix + "/" if prefix else "",
        endpoint=options.get("endpoint"),
        region=options.get("region"),
        path_style=_truth(options.get("path_style")),
        patience_seconds=_number(options, "patience", 20.0),
        connections=_whole(options, "connections", 16),
        safety_hours=_number(options, "safety_hours", 24.0),
    )


def _truth(text: str | None) -> bool | None:
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise ConfigurationError("workspaces, path_style", text, "give true or false")
    return text.lower() == "true"


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    text = options.get(name, default)
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"workspaces, {name}", text, "give a number") from None


def _whole(options: Mapping[str, str], name: str, default: int) -> int:
    number = _number(options, name, default)
    if not number.is_integer():
        raise ConfigurationError(f"workspaces, {name}", options[name], "give a whole number")
    return int(number)
