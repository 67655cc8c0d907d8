"""How commands show what they list: one width for files, one style of table, text that cannot steer the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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


def printable_text(text: str) -> Text:
    """Text with names and messages of students in it, which must not steer the terminal."""
    from rich.text import Text

    from grader.gradebook.wording import clean_text

    return Text(clean_text(text))
