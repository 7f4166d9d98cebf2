"""Settings: one frozen object, read from CHORUS_* once and handed down. Nobody else reads the environment."""

import difflib
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.address import Address
from app.errors import SettingsError
from app.trial import Trial, check
from model_store.engine import Device
from model_store.shelf import DEFAULT_ROOT

PREFIX = "CHORUS_"
FOREIGN = {"CHORUS_DATA"}  # where the tests find public data; nothing to the service
PINS = r"^[0-9a-f]{64}(,[0-9a-f]{64})*$"
SCHEMES = ("redis://", "rediss://", "unix://")
FILE = "file://"


def _redis_url(url: str) -> str:
    """The URL itself, or what a file holds: the environment of a process is seen by more than the process."""
    if url.startswith(FILE):
        try:
            url = Path(url.removeprefix(FILE)).read_text().strip()
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
    if not url.startswith(SCHEMES):
        raise ValueError(f"begin it with one of {', '.join(SCHEMES)}")
    Address(url)
    return url


def _traced(asked: bool) -> bool:
    if asked and not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")):
        raise ValueError("needs OpenTelemetry: pip install 'chorus[otel]', or unset it")
    return asked


def _trial(label: str) -> AfterValidator:
    def checked(told: str) -> str:
        check(label, Trial.read(told).share)
        return told

    return AfterValidator(checked)


class Settings(BaseSettings):
    """docs/operations.md explains each; the environment's name is CHORUS_ and the field's in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; :: for all, of IPv4 too.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer on the port.")
    store: Path = Field(DEFAULT_ROOT, description="The shelf: the folder that holds published bundles.")
    model: str | None = Field(None, description="Name of the bundle; needed if the shelf holds several.")
    version: int | None = Field(None, ge=1, description="Version to serve; the newest if unset.")
    canary: Annotated[str, _trial("canary")] | None = Field(
        None, description="Version that answers a share of the users in its place: 8:0.05."
    )
    shadow: Annotated[str, _trial("shadow")] | None = Field(
        None, description="Version that is compared with it on a share of the requests: 9:1."
    )
    api_keys_file: Path | None = Field(
        None, description="File of API keys; unset, whoever reaches the port may do all but /admin."
    )
    bundle_sha256: Annotated[str, StringConstraints(pattern=PINS)] | None = Field(
        None, description="sha256 of the manifest.json that may be served, several with commas; unset, any."
    )
    device: Device = Field("auto", description="auto, cpu or cuda.")
    request_timeout_ms: int = Field(
        5_000, ge=1, le=3_600_000, description="Deadline of a request that names none; 504 when it passes."
    )
    max_wait_ms: int = Field(
        150,
        ge=1,
        le=60_000,
        description="Longest wait for others' work in a burst; overload is held to a tenth.",
    )
    max_waiting_tokens: int = Field(
        16_384, ge=1, description="Tokens of texts that may wait to be encoded; new texts beyond are refused."
    )
    batch_tokens: int | None = Field(
        None, ge=0, description="Tokens of texts encoded together, 0: each alone; unset, by the device."
    )
    redis_url: Annotated[str, AfterValidator(_redis_url)] | None = Field(
        None,
        description="redis://, rediss:// or unix:// of a server, file:// of a file with it; unset, one is started.",
    )
    redis_dir: Path | None = Field(
        None, description="Where the embedded Redis keeps its data; unset, it forgets at exit."
    )
    redis_timeout_ms: int = Field(50, ge=1, le=10_000, description="Longest that a request waits for Redis.")
    redis_connections: int = Field(
        2, ge=1, le=64, description="Connections that all requests read over; one more writes."
    )
    cache_ttl_seconds: int = Field(86_400, ge=1, description="How long Redis keeps user and text vectors.")
    history_ttl_seconds: int = Field(
        7_776_000, ge=1, description="How long Redis keeps the history of a user who does nothing."
    )
    local_cache: int = Field(
        20_000, ge=0, description="Users, user vectors and texts kept in the process, of each; 0: none."
    )
    local_megabytes: int = Field(
        64, ge=1, description="Memory for what Redis holds of users and items that is kept in the process."
    )
    local_ttl_seconds: float = Field(
        60.0, gt=0.0, le=3_600.0, description="Oldest that it may be, if word of a change is lost."
    )
    retrieve: int = Field(
        500, ge=1, le=10_000, description="Items fetched for the heads when none are given."
    )
    max_candidates: int = Field(1_000, ge=1, description="Most candidates of one request.")
    max_batch: int = Field(256, ge=1, description="Most requests, pairs, texts or events of one call.")
    max_body_bytes: int = Field(4 << 20, ge=1_024, description="Most bytes of a JSON body.")
    max_stream_bytes: int = Field(64 << 20, ge=1_024, description="Most bytes of an NDJSON body.")
    max_connections: int = Field(4_096, ge=1, description="Most connections of a process; more are hung up.")
    receive_seconds: float = Field(
        30.0, gt=0.0, le=3_600.0, description="Longest that a request may take to arrive, its body too."
    )
    drain_seconds: float = Field(
        0.0, ge=0.0, le=3_600.0, description="Keep serving this long after SIGTERM, not ready."
    )
    grace_seconds: int = Field(30, ge=1, description="How long open requests may take to finish after that.")
    traces: Annotated[bool, AfterValidator(_traced)] = Field(
        False, description="Tell OpenTelemetry of requests; OTEL_* say where. Needs chorus[otel]."
    )
    log_format: Literal["text", "json"] = Field("text", description="Form of the log lines on stderr.")

    @property
    def pins(self) -> tuple[str, ...]:
        """The hashes of the manifests that may be served; none: any may."""
        return tuple(self.bundle_sha256.split(",")) if self.bundle_sha256 else ()

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **given: Any) -> "Settings":
        """Settings of the environment, `given` ones first; SettingsError names what is wrong and the fix."""
        _refuse_unknown(os.environ if environ is None else environ)
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = PREFIX + str(first["loc"][0]).upper()
            reason = first["msg"].removeprefix("Value error, ")
            told = re.sub(r"//.*@", "//", str(first["input"]))  # without the password of a URL
            raise SettingsError(f"{name}={told}: {reason}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known | FOREIGN:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise SettingsError(f"{name} is no setting of Chorus; did you mean {near[0]}? Unset it to go on")
