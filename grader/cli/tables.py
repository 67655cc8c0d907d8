"""How the commands that list something look: one width for files, one style of table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH_OF_A_FILE = 120  # columns, when the table does not go to a terminal


def console_for_tables() -> Console:
    """The terminal in its own width, or anything else in a width that no cell has to be folded for."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_OF_A_FILE)


def plain_table(**options: Any) -> Table:
    """A table with a line under its headings and no frame; options as of `rich.table.Table`."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, **options)
