"""The Flex Template's metadata, made from the command's options.

python -m deploy.template > deploy/template.json
"""

import json
from typing import Any

import click

from deploy import flex_template
from hdnet.pipeline import run


def metadata() -> dict[str, Any]:
    """Return what `gcloud dataflow flex-template build --metadata-file` reads."""
    return {
        "name": "HDNet catalog harmonization",
        "description": " ".join((run.main.help or "").split("\n\n")[0].split()),
        "streaming": False,
        "parameters": [parameter(name, option) for name, option in flex_template.options().items()],
    }


def parameter(name: str, option: click.Option) -> dict[str, Any]:
    """Describe one option."""
    described: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": (option.help or "").replace("  [", " ["),
        "isOptional": not option.required,
        "paramType": _type(option),
    }
    # click marks "no default" with an object of its own, which is not one of these types.
    if isinstance(option.default, str | int | float):
        default = option.default
        described["defaultValue"] = str(default).lower() if option.is_flag else str(default)
    if described["paramType"] == "ENUM" and isinstance(option.type, click.Choice):
        described["enumOptions"] = [{"value": choice} for choice in option.type.choices]
    if option.multiple:
        described["helpText"] += " Several with commas between."
    return described


def _type(option: click.Option) -> str:
    if option.is_flag:
        return "BOOLEAN"
    if isinstance(option.type, click.IntRange | click.FloatRange):
        return "NUMBER"
    if isinstance(option.type, click.Choice) and not option.multiple:
        return "ENUM"
    return "TEXT"


if __name__ == "__main__":
    print(json.dumps(metadata(), indent=1))
