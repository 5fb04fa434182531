"""Pages from templates: self-contained, everything escaped that is not marked as markup."""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hounsfield.report.tables import decimal

HERE = "hounsfield.report"


def render(
    content: Mapping[str, Any], template: str = "page.html", package: str = HERE, script: str | None = None
) -> str:
    """The HTML of a template of `package`, which may use those of the report, its style and its script.

    script: a further one, of `package`.
    """
    loader = ChoiceLoader([PackageLoader(name, ".") for name in dict.fromkeys((package, HERE))])
    engine = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters["decimal"] = decimal
    js = _text(HERE, "page.js") + (_text(package, script) if script else "")
    # The browser runs this script and no other, and asks no network for anything.
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    css = Markup(_text(HERE, "page.css"))
    return engine.get_template(template).render(**content, css=css, js=Markup(js), script_digest=digest)


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
