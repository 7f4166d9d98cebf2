"""Which columns of the files a configuration asks for: key of the TOML -> column."""

from training.config import Config
from training.task import TaskConfig


def items(config: Config) -> dict[str, str]:
    """Columns of the items table."""
    table = config.items
    roles = {"items.id": table.id}
    roles |= {f"items.text, {name}": name for name in table.text}
    roles |= {f"items.attributes, {name}": name for name in table.attributes}
    roles |= {f"items.numbers, {name}": name for name in table.numbers}
    if table.time:
        roles["items.time"] = table.time
    return roles | {f"tasks.{name}.label": task.label for name, task in item_tasks(config).items()}


def users(config: Config) -> dict[str, str]:
    """Columns of the users table; none without one."""
    if not config.users:
        return {}
    return {"users.id": config.users.id} | {f"users.text, {name}": name for name in config.users.text}


def events(config: Config) -> dict[str, str]:
    """Columns of the events table."""
    table = config.events
    named = {key: getattr(table, key) for key in ("item", "user", "timestamp", "impression", "query")}
    roles = {f"events.{key}": column for key, column in named.items() if column}
    roles |= {f"events.context, {name}": name for name in table.context}
    roles |= {f"events.numbers, {name}": name for name in table.numbers}
    for name, written in config.history.events.items():
        roles[f"history.events.{name}"] = condition(written)[0]
    for name, task in event_tasks(config).items():
        roles[f"tasks.{name}.label"] = task.label
        if task.text:
            roles[f"tasks.{name}.text"] = task.text
    return roles


def condition(written: str) -> tuple[str, str | None]:
    """`column` or `column=value` of history.events, in two parts."""
    column, sign, value = written.partition("=")
    return column.strip(), value.strip() if sign else None


def item_tasks(config: Config) -> dict[str, TaskConfig]:
    """Tasks whose label is a column of the items table."""
    return {name: task for name, task in config.tasks.items() if task.inputs == "item"}


def event_tasks(config: Config) -> dict[str, TaskConfig]:
    """Tasks whose label is a column of the events table; a clock task reads its label off the time, and one of
    users off what they want."""
    tasks = config.tasks.items()
    return {name: task for name, task in tasks if task.inputs not in ("item", "user") and not task.clock}
