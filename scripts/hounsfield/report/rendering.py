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


def render(content: Mapping[str, Any], template: str = "page.html", package: str = HERE) -> str:
    """The HTML of a template of `package`, which may use those of the report, its style and its script."""
    loader = ChoiceLoader([PackageLoader(name, ".") for name in dict.fromkeys((package, HERE))])
    engine = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters["decimal"] = decimal
    files = resources.files(HERE)
    parts = {"css": "page.css", "js": "page.js"}
    texts = {key: Markup(files.joinpath(name).read_text(encoding="utf-8")) for key, name in parts.items()}
    # The browser runs this script and no other, and asks no network for anything.
    script = base64.b64encode(hashlib.sha256(texts["js"].encode()).digest()).decode()
    return engine.get_template(template).render(**content, **texts, script_digest=script)
