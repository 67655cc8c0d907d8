"""Templates to HTML: everything is escaped, and what the page may load or run is fixed by its content policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from grader.gradebook.wording import clean_text, format_percentage, format_points

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# A page loads nothing and runs nothing, even if a text got into it unescaped; a script must be named by its hash.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_page(template: str, *, script: str = "", **values: Any) -> str:
    """HTML of a template; `script` names a template with the page's own inline script.

    Raises jinja2.TemplateError for a mistake in a template.
    """
    from markupsafe import Markup

    environment = _environment()
    source = environment.get_template(script).render() if script else ""
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = f"{CONTENT_POLICY}; script-src 'sha256-{digest}'" if source else CONTENT_POLICY
    return environment.get_template(template).render(policy=policy, script=Markup(source), **values)  # noqa: S704


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("grader.gradebook", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        points=format_points, percentage=format_percentage, clean=clean_text, prose=prose, inline=inline
    )
    return environment


def prose(text: str) -> Markup:
    """Our own explanations as HTML: blank lines part paragraphs, backticks mark code. Everything is escaped."""
    from markupsafe import Markup

    paragraphs = (part.strip() for part in clean_text(text).split("\n\n"))
    return Markup().join(Markup("<p>{}</p>").format(inline(part)) for part in paragraphs if part)


def inline(text: str) -> Markup:
    """One line of our own text as HTML, with code between backticks. Everything is escaped."""
    from markupsafe import Markup, escape

    pieces = clean_text(text).split("`")
    if len(pieces) % 2 == 0:  # a backtick without its partner is only a character
        return escape("`".join(pieces))
    return Markup().join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces)
    )
