"""`chorus-serve keys`: API keys made, listed and revoked in their file; a running service follows within a second."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from app import keyring
from app.errors import SettingsError
from app.settings import Settings
from model_store.errors import ChorusError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="API keys: made, listed and revoked (docs/security.md). A running service follows within a second.",
)

Name = Annotated[str, typer.Argument(help="Who uses it: letters, digits and . _ -", show_default=False)]
File = Annotated[
    Path | None, typer.Option(help="The file of keys [CHORUS_API_KEYS_FILE].", show_default=False)
]


@app.command()
def add(
    name: Name,
    scope: Annotated[
        list[str], typer.Option(help=f"What it may; several times for more: {', '.join(keyring.SCOPES)}.")
    ],
    rate: Annotated[
        float | None, typer.Option(help="Requests a second of one process.", show_default=False)
    ] = None,
    burst: Annotated[float | None, typer.Option(help="Requests at once.", show_default=False)] = None,
    candidates: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Candidates a second of one process, and at once: those of all requests, batches and scores.",
            metavar="A_SECOND AT_ONCE",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends, as 2027-01-01T00:00:00Z.", show_default=False)
    ] = None,
    file: File = None,
) -> None:
    """Make a key: it is printed this once, and its hash kept."""
    secret = keyring.make()
    said: dict[str, Any] = {"rate": rate, "burst": burst, "expires": expires}
    said["candidates"], said["candidates_burst"] = candidates or (None, None)
    try:
        new = keyring.key(name=name, scopes=tuple(scope), sha256=keyring.digest(secret.encode()), **said)
        keyring.add(_file(file), new)
    except (ValueError, ChorusError) as error:
        _stop(error)
    typer.echo(secret)


@app.command("list")
def show(file: File = None) -> None:
    """Every key: its name, what it may, and until when; the key itself is kept nowhere."""
    table = Table("name", "scopes", "a second", "at once", "candidates a second", "at once", "expires")
    try:
        for key in keyring.read(_file(file)):
            told = (key.rate, key.burst, key.candidates, key.candidates_burst, key.expires)
            table.add_row(key.name, ", ".join(key.scopes), *map(_told, told))
    except ChorusError as error:
        _stop(error)
    Console().print(table)


@app.command()
def revoke(name: Name, file: File = None) -> None:
    """Take a key out: it is refused within a second."""
    try:
        keyring.revoke(_file(file), name)
    except ChorusError as error:
        _stop(error)
    typer.echo(f"{name} is revoked")


def _file(given: Path | None) -> Path:
    path = Settings.load(api_keys_file=given).api_keys_file
    if path is None:
        raise SettingsError("which file? Set CHORUS_API_KEYS_FILE, or give --file")
    return path


def _told(value: float | datetime | None) -> str:
    return (
        "–"
        if value is None
        else f"{value:%Y-%m-%d %H:%M %Z}"
        if isinstance(value, datetime)
        else f"{value:g}"
    )


def _stop(error: Exception) -> NoReturn:
    typer.secho(f"chorus-serve: {error}", fg="red", err=True)
    raise typer.Exit(2)
