"""The instructor's own settings of nbgrader, as its commands would find them: the files `nbgrader_config.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grader.gradebook.errors import GradebookError

if TYPE_CHECKING:
    from traitlets.config import Config

SETTINGS_FILE = "nbgrader_config.py"
BROKEN = "{file} cannot be read as nbgrader's settings: {reason}. Correct it, or move it away"


def read_settings(*folders: Path) -> Config:
    """Settings from Jupyter's own folders and then from `folders`, of which a later one counts more.

    The files are Python and run with your rights, so no folder with anything of a student's may be named. Raises
    GradebookError for a file that cannot be read.
    """
    from jupyter_core.paths import jupyter_config_path
    from traitlets.config import Config

    config = Config()
    places = [Path(folder) for folder in reversed(jupyter_config_path())] + [folder.absolute() for folder in folders]
    for folder in dict.fromkeys(places):
        if (folder / SETTINGS_FILE).is_file():
            config.merge(_read_file(folder))
    return config


def _read_file(folder: Path) -> Config:
    from traitlets.config.loader import PyFileConfigLoader

    try:
        return PyFileConfigLoader(SETTINGS_FILE, path=str(folder)).load_config()
    except Exception as error:  # whatever the instructor's Python raises
        reason = f"{type(error).__name__}: {error}"
        raise GradebookError(BROKEN.format(file=folder / SETTINGS_FILE, reason=reason)) from error
