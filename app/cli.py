"""`chorus-serve`: the service, offline scoring, and loading histories."""

import asyncio
import importlib.util
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from app import cli_keys, golden, histories, keyring, logs
from app.council import Report
from app.errors import SettingsError
from app.main import create_app
from app.metrics import Metrics
from app.model import Model, build
from app.server import Server
from app.service import Redis, Service
from app.settings import Settings
from app.supervisor import Supervisor
from app.worker import REFUSED
from model_store.errors import ChorusError

log = logging.getLogger(__name__)

PATIENCE_MS = 5_000

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Serve a published bundle: ranked items with every task's value.\n\n"
    "Settings are `CHORUS_*` variables (docs/operations.md); options win over them.\n\n"
    "Try it: `chorus-serve serve`, then open the address that it prints, `/docs`.",
)
app.add_typer(cli_keys.app, name="keys")

Store = Annotated[
    Path | None,
    typer.Option(help="The shelf: the folder of published bundles [CHORUS_STORE].", show_default=False),
]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Name of the bundle, if the shelf holds several [CHORUS_MODEL].", show_default=False),
]
Version = Annotated[
    int | None, typer.Option(help="Version; the newest if left out [CHORUS_VERSION].", show_default=False)
]


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address [CHORUS_HOST, 127.0.0.1].", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port, 0 for a free one [CHORUS_PORT, 8000].", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that share the port, best one a core [CHORUS_WORKERS, 1].", show_default=False
        ),
    ] = None,
    store: Store = None,
    model: ModelOption = None,
    version: Version = None,
) -> None:
    """Answer requests until Ctrl-C or SIGTERM.

    A bundle that is damaged, or a device that is absent, ends it with code 2 and one line that says why.
    """
    given = {"host": host, "port": port, "workers": workers}
    settings = _settings(**given, store=store, model=model, version=version)
    logs.configure(settings.log_format)
    _check_keys(settings.api_keys_file)
    code = _serve_alone(settings) if settings.workers == 1 else _serve_together(settings)
    if code:
        raise typer.Exit(code)


def _serve_alone(settings: Settings) -> int:
    service = Service(settings)

    def announce() -> None:
        _announce(server.address, Report(serves=service.model.described, redis=service.redis.place))

    server = Server(create_app(service=service), settings, announce)
    try:
        server.run()
    except ChorusError as error:
        _stop(error)
    if service.failure:
        log.error("the model was refused: %s", service.failure)
    return REFUSED if service.failure else 0


def _serve_together(settings: Settings) -> int:
    async def serve() -> int:
        return await Supervisor(settings, _announce).run()

    try:
        return asyncio.run(serve())
    except ChorusError as error:
        _stop(error)


def _announce(address: str, report: Report) -> None:
    typer.echo(f"API      {address}/recommend")
    typer.echo(f"Docs     {address}/docs")
    typer.echo(f"Metrics  {address}/metrics")
    typer.echo(f"Redis    {report.redis}")
    typer.echo(f"Model    {report.serves}")


class Speed(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0.0:,.0f} rows/s")


@app.command()
def score(
    file: Annotated[
        Path, typer.Argument(help="parquet, CSV or JSONL with item_id and user_id, query or history.")
    ],
    out: Annotated[Path, typer.Option(help="Where the scored rows go: .parquet, .csv or .jsonl.")],
    store: Store = None,
    model: ModelOption = None,
    version: Version = None,
) -> None:
    """Score the rows of a file as POST /score would.

    The same rows in the same order, one more column for each task, `score`, and `error` for rows that could
    not be scored. Histories come from the file (JSONL) or from Redis, as CHORUS_REDIS_URL or _DIR say.
    """
    if importlib.util.find_spec("polars") is None:
        _stop(SettingsError("scoring files needs polars; install it with: pip install 'chorus[score]'"))
    from app import offline  # noqa: PLC0415 polars is an optional extra

    settings = offline.frugal(_settings(store=store, model=model, version=version))
    console = Console(stderr=True)

    async def work(opened: Model, metrics: Metrics) -> None:
        with Progress(
            BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn(), console=console
        ) as bar:
            task = bar.add_task("scoring", total=None)
            found = await offline.score(
                file, out, opened, metrics, lambda rows, of: bar.update(task, completed=rows, total=of)
            )
        typer.echo(
            f"{found.rows - found.failed} rows scored, {found.failed} could not be (see the column error): {out}"
        )
        if not (settings.redis_url or settings.redis_dir):
            typer.echo(
                "Neither CHORUS_REDIS_URL nor CHORUS_REDIS_DIR is set: every user_id is a newcomer", err=True
            )
        if found.away:
            typer.echo(
                f"Redis was away for {found.away} rows: they know no stored histories and counts", err=True
            )

    _run(settings, work)


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="HISTORIES.jsonl or .jsonl.gz.", exists=True, dir_okay=False)],
    store: Store = None,
    model: ModelOption = None,
    version: Version = None,
) -> None:
    """Put histories and profiles of users into Redis.

    One user a line: {"user_id": "u42", "events": [{"item_id", "event", "timestamp"}], "profile": {...},
    "shown": [{"timestamp", "item_ids"}]}.
    A line replaces what is stored of that user. Needs CHORUS_REDIS_URL, or CHORUS_REDIS_DIR of a service
    that is not running.
    """
    settings = _settings(store=store, model=model, version=version)
    if settings.redis_url is None and settings.redis_dir is None:
        _stop(SettingsError("histories would be lost at once: set CHORUS_REDIS_URL or CHORUS_REDIS_DIR"))

    async def work(opened: Model, _: Metrics) -> None:
        users, events = await histories.load(file, opened.state, opened.manifest)
        typer.echo(f"{users} users with {events} events loaded")

    _run(settings, work)


def _check_keys(path: Path | None) -> None:
    """Stop if they cannot be used; say so if there are none."""
    if path is None:
        log.warning("no CHORUS_API_KEYS_FILE: whoever reaches the port may do all but /admin")
        return
    try:
        keyring.read(path)
    except ChorusError as error:
        _stop(error)


def _settings(**given: Any) -> Settings:
    try:
        return Settings.load(**given)
    except ChorusError as error:
        _stop(error)


def _run(settings: Settings, work: Callable[[Model, Metrics], Coroutine[Any, Any, None]]) -> None:
    """Do something with a checked model and with Redis, and let go of both.

    Nobody waits for an answer here: Redis gets the time that its bulk writes need, and any number of texts may wait.
    """
    patient = {
        "redis_timeout_ms": max(settings.redis_timeout_ms, PATIENCE_MS),
        "max_waiting_tokens": sys.maxsize,
    }
    settings = settings.model_copy(update=patient)

    async def session() -> None:
        metrics = Metrics()
        redis = Redis(settings, metrics)
        try:
            opened = await build(settings, await redis.open(), metrics)
            await golden.check(opened, settings, metrics)
            await opened.changes.start()
            await work(opened, metrics)
            await opened.state.settle()
            opened.close()
        finally:
            await redis.close()

    try:
        asyncio.run(session())
    except ChorusError as error:
        _stop(error)


def _stop(error: ChorusError) -> NoReturn:
    typer.secho(f"chorus-serve: {error}", fg="red", err=True)
    raise typer.Exit(REFUSED)
