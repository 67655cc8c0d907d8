"""The evidence of a run, in one folder: what was asked for, what was found, and the tuned weights themselves.

bundle.json             preset, recipes, seed, hash of the data, environment, seconds, peak memory
outcomes/<method>.json  figures and training curve of a method, written as soon as it is done
adapters/<method>.safetensors
checkpoints/<method>.pt where a killed run goes on; deleted once the method is done
report.html, tensorboard/, explanations/<method>/
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from grader.capstone.errors import CapstoneError
from grader.capstone.outcomes import Outcome
from grader.capstone.training import Epoch, History
from grader.capstone.tuning import Method

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A run's folder."""

    folder: Path

    def adapter(self, method: Method) -> Path:
        return self.folder / "adapters" / f"{method.slug}.safetensors"

    def existing_adapter(self, method: Method) -> Path:
        """A method's adapter. Raises CapstoneError naming the methods that the run has when it has not this one."""
        if not (file := self.adapter(method)).is_file():
            done = [str(each) for each in Method if self.adapter(each).is_file()]
            raise CapstoneError(
                f"{file} is missing: the run has no {method}, only: {', '.join(done) or 'nothing yet'}; "
                "name one of those with --method, or let course capstone train go on"
            )
        return file

    def checkpoint(self, method: Method) -> Path:
        return self.folder / "checkpoints" / f"{method.slug}.pt"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    def begin(self, facts: dict[str, Any]) -> None:
        """Keep what a run depends on; raises CapstoneError when the folder holds a run that depends on other things."""
        if (kept := self._read("bundle.json")) is not None:
            changed = sorted(name for name in facts if kept.get(name) != _plain(facts[name]))
            if changed:
                raise CapstoneError(
                    f"{self.folder} holds a run with another {', '.join(changed)}: name another folder, or delete it"
                )
            return
        self._write("bundle.json", {"schema": SCHEMA, **facts})

    def end(self, facts: dict[str, Any]) -> None:
        """Add what is known only at the end (seconds, peak memory)."""
        self._write("bundle.json", {**self.facts(), **facts})

    def facts(self) -> dict[str, Any]:
        """What bundle.json says. Raises CapstoneError when the folder is not a bundle."""
        kept = self._read("bundle.json")
        if kept is None:
            raise CapstoneError(f"{self.folder}: not a bundle (no bundle.json); make one with: course capstone train")
        if kept.get("schema") != SCHEMA:
            raise CapstoneError(f"{self.folder}: a bundle of schema {kept.get('schema')}, this version reads {SCHEMA}")
        return kept

    def check_data(self, digest: str) -> None:
        """Raises CapstoneError when the run was made with data of another hash than this."""
        if (used := self.facts().get("data")) != digest:
            raise CapstoneError(f"{self.folder}: made with other data than this (hash {str(used)[:12]}...)")

    def keep(self, outcome: Outcome, history: History) -> None:
        """A method's result, after its adapter is written."""
        curve = [dataclasses.asdict(epoch) for epoch in history.epochs]
        self._write(f"outcomes/{outcome.method.slug}.json", {**outcome.as_json(), "curve": curve})
        self.checkpoint(outcome.method).unlink(missing_ok=True)

    def outcome(self, method: Method) -> Outcome | None:
        """What was kept for a method; None when it is not done."""
        record = self._read(f"outcomes/{method.slug}.json")
        if record is None:
            return None
        record.pop("curve", None)
        try:
            return Outcome.from_json(record)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise CapstoneError(f"{self.folder}/outcomes/{method.slug}.json: not an outcome ({error})") from error

    def curve(self, method: Method) -> list[Epoch]:
        """The epochs of a method's training."""
        record = self._read(f"outcomes/{method.slug}.json") or {}
        return [Epoch(**epoch) for epoch in record.get("curve", [])]

    def _read(self, name: str) -> dict[str, Any] | None:
        file = self.folder / name
        try:
            found = json.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CapstoneError(f"{file}: cannot be read ({error})") from error
        if not isinstance(found, dict):
            raise CapstoneError(f"{file}: holds a {type(found).__name__}, not an object")
        return found

    def _write(self, name: str, content: dict[str, Any]) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(file.name + ".unfinished")
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        os.replace(unfinished, file)


def _plain(value: Any) -> Any:
    """A value as it comes back from a JSON file."""
    return json.loads(json.dumps(value))
