"""Looking for texts in files, however they are wrapped, spelled or encoded there.

Upper and lower case and white space do not count. Looked through are the bytes as text, as the strings of a JSON file,
with the escapes of HTML, URLs and Python undone, backwards, shifted by thirteen letters, and whatever base64, base32,
hexadecimal digits, zip, gzip and zlib hold, one in the other.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import gzip
import html
import io
import json
import re
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

DEEPEST = 3  # encodings in each other
MAX_UNPACKED = 200_000_000  # bytes of one packed file, lest a zip fills the memory
_KEY = 12  # letters of a text that are looked up at once
_ENCODED = re.compile(rb"[A-Za-z0-9+/_=-]{16,}")
_HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}){12,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


def normal(text: str) -> str:
    """A text without white space, in lower case."""
    return "".join(text.split()).casefold()


class TextIndex:
    """Texts in their normal form, of at least twelve letters, that are looked for all at once."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._by_beginning: dict[str, list[str]] = {}
        for text in texts:
            if len(text) < _KEY:
                raise ValueError(f"{text!r} is too short to be looked for")
            self._by_beginning.setdefault(text[:_KEY], []).append(text)

    def found_in(self, haystack: str) -> Iterator[str]:
        """The texts that occur in a text of normal form, each as often as it does."""
        known = self._by_beginning
        for at in range(len(haystack) - _KEY + 1):
            for text in known.get(haystack[at : at + _KEY], ()):
                if haystack.startswith(text, at):
                    yield text

    def found_in_file(self, data: bytes) -> set[str]:
        """The texts that occur in a file in any form."""
        return {text for view in _views(data, DEEPEST) for text in self.found_in(view)}


def _views(data: bytes, depth: int) -> Iterator[str]:
    """Everything that a file may be read as, in normal form."""
    text = data.replace(b"\0", b"").decode("utf-8", "replace")  # without zeros, UTF-16 and UTF-32 read like ASCII
    plain = normal(text)
    yield plain
    yield plain[::-1]
    yield codecs.encode(plain, "rot13")
    for undone in (html.unescape(text), urllib.parse.unquote(text), _ESCAPE.sub(_unescaped, text)):
        if undone != text:
            yield normal(undone)
    strings = "".join(_strings(data))
    if strings:
        yield normal(strings)
    if depth:
        for inner in _contents(data, plain):
            yield from _views(inner, depth - 1)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1] or match[2], 16))


def _strings(data: bytes) -> Iterator[str]:
    """The strings of a JSON file one after the other, so that a text broken into lines is whole again."""
    try:
        todo: list[Any] = [json.loads(data)]
    except (ValueError, RecursionError):
        return
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            todo.extend(reversed([part for item in value.items() for part in item]))
        elif isinstance(value, list):
            todo.extend(reversed(value))


def _contents(data: bytes, plain: str) -> Iterator[bytes]:
    """What a file holds in other encodings."""
    if data.startswith(b"PK"):
        yield from _zipped(data)
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            yield unpack(data)[:MAX_UNPACKED]
        except (OSError, EOFError, zlib.error):
            continue
    for run in _ENCODED.findall(data):
        yield from _decoded(run)
    for run in _HEXADECIMAL.findall(data):
        yield binascii.unhexlify(run)


def _decoded(run: bytes) -> Iterator[bytes]:
    """A run of letters as base64, beginning at each of four places, and as base32; only what then looks like text."""
    letters = run.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    candidates: list[tuple[Callable[[bytes], bytes], bytes]] = []
    for start in range(4):
        part = letters[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        candidates.append((base64.b64decode, part + b"=" * (-len(part) % 4)))
    upper = run.rstrip(b"=").upper()
    candidates.append((base64.b32decode, upper + b"=" * (-len(upper) % 8)))
    for decode, part in candidates:
        try:
            yield decode(part)
        except (binascii.Error, ValueError):
            continue


def _zipped(data: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                yield entry.filename.encode("utf-8", "surrogatepass")
                with archive.open(entry) as file:
                    yield file.read(MAX_UNPACKED)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return
