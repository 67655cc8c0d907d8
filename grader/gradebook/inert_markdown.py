"""A student's markdown made harmless: nothing in it can run, load or break a page of formgrader or nbgrader's feedback.

Both put markdown into their pages without cleaning it. Here the characters that would start HTML, an unsafe link, an
image from elsewhere or a diagram get a zero-width space inside: the text looks the same and stays text, whatever the
parser makes of the markdown around it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

_GAP = "\u200b"  # zero-width space
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!(?=\[)")
_LINK = re.compile(r"\](?=\s*[(:])(?!\(https?://)")
_FENCE = re.compile(r"^(?P<fence>[ \t>*+\-\d.)]*(?:`{3,}|~{3,}))(?P<info>[^\n]*)$", re.MULTILINE)
_PLAIN_LANGUAGE = re.compile(r"\s*(?!mermaid)[A-Za-z0-9+#_-]*\s*", re.IGNORECASE)
_ACTIVE_MATHEMATICS = re.compile(r"\\(?=(?:href|url|require|style|class|cssId|unicode|data)(?![A-Za-z]))")
_ATTACHED_IMAGE = re.compile(rf"!{_GAP}(\[[^\]\n]{{0,200}})\]{_GAP}\(attachment:([A-Za-z0-9._-]{{1,200}})\)")
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif")


def inert_markdown(text: str, images: frozenset[str] = frozenset()) -> str:
    """Markdown that cannot do anything; `images` names the attachments it may show. Doing it twice changes nothing."""
    text = _TAG.sub(f"<{_GAP}", text)
    text = _ACTIVE_MATHEMATICS.sub(rf"\\{_GAP}", text)
    text = _FENCE.sub(_plain_fence, text)
    text = _LINK.sub(f"]{_GAP}", _IMAGE.sub(f"!{_GAP}", text))
    return _ATTACHED_IMAGE.sub(lambda found: _shown_image(found, images), text)


def safe_attachments(attachments: Any) -> dict[str, dict[str, str]]:
    """Attachments of a cell that are pictures and nothing else."""
    if not isinstance(attachments, dict):
        return {}
    safe = {}
    for name, bundle in attachments.items():
        if isinstance(bundle, dict):
            pictures = {kind: bundle[kind] for kind in _IMAGE_TYPES if _is_base64(bundle.get(kind))}
            if pictures:
                safe[str(name)] = pictures
    return safe


def _plain_fence(found: re.Match[str]) -> str:
    harmless = _PLAIN_LANGUAGE.fullmatch(found["info"]) or found["info"].startswith(_GAP)
    return found[0] if harmless else f"{found['fence']}{_GAP}{found['info']}"


def _shown_image(found: re.Match[str], images: frozenset[str]) -> str:
    return f"!{found[1]}](attachment:{found[2]})" if found[2] in images else found[0]


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode(value.replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
