"""Templates of HTML pages that show what strangers wrote.

Everything that does not come from a template is made visible and escaped, whatever it holds, because ids, messages
and URIs come from other people. Should that ever fail, the page's own policy still forbids it to load anything, and to
run or apply anything but the one script and the one style whose digests it names.
"""

import base64
import functools
import hashlib
import json
from pathlib import Path

import jinja2
from markupsafe import Markup

from hdnet.transforms import text

_SHARED = "hdnet.transforms.pages"
_FOLDER = Path(__file__).parent / "templates"


@functools.cache
def load(package: str, name: str) -> jinja2.Template:
    """Return a template of a package, which may extend `base.html` and import `macros.html` of this one.

    Args:
        package: Name of a package that holds a folder `templates`.
        name: Name of the file.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader(_SHARED)]),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(text, name) for name in ("number", "duration", "moment")}
    environment.filters["json"] = json.dumps
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    environment.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "style_digest": _digest(style),
        "script_digest": _digest(script),
    }
    return environment.get_template(name)


def _digest(source: str) -> str:
    """Return the source expression with which a policy allows exactly this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _shown(value: object) -> object:
    """Prepare a value that a template inserts; markup has been escaped piece by piece already."""
    if value is None:
        return text.DASH
    return value if isinstance(value, Markup) else text.visible(value)
