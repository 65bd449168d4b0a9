"""Hold deploy/terraform against the provider's schema, where the provider itself cannot be had.

    npm pack @cdktf/provider-google && tar -xzf cdktf-provider-google-*.tgz
    python deploy/check_terraform.py package

The npm package holds TypeScript declarations made from the schema: every resource with its blocks and arguments, and
which of them must be given. Values, and what exists only after `apply`, are not checked.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import hcl2

FOLDER = Path(__file__).parent / "terraform"
META = {"count", "depends_on", "for_each", "lifecycle", "provider"}
"""Arguments that are Terraform's own and that every resource may have."""


class Argument(NamedTuple):
    """What a block may hold: whether it must, and the name of the interface where it is a block itself."""

    required: bool
    kind: str


Schema = dict[str, dict[str, Argument]]
"""By interface, its arguments by name."""


def read_schema(text: str) -> Schema:
    """Read the interfaces of a TypeScript declaration file."""
    interfaces = re.finditer(r"export interface (\w+)[^{]*\{(.*?)\n\}", text, re.DOTALL)
    return {interface[1]: dict(_arguments(interface[2])) for interface in interfaces}


def faults(block: Mapping[str, Any], interface: str, schema: Schema, where: str) -> Iterator[str]:
    """Yield what a block has that the schema does not, and lacks that it wants."""
    known = schema[interface]
    given = {name.strip('"'): value for name, value in block.items() if not name.startswith("__")}
    for name in sorted(set(given) - set(known)):
        yield f"{where}: there is no {name}"
    for name in sorted(name for name in set(known) - set(given) if known[name].required):
        yield f"{where}: {name} is wanted"
    for name in set(given) & set(known):
        if known[name].kind in schema:
            for inner in given[name] if isinstance(given[name], list) else [given[name]]:
                yield from faults(inner, known[name].kind, schema, f"{where}.{name}")


def resources() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield type, name and content of every resource in deploy/terraform, without Terraform's own arguments."""
    for path in sorted(FOLDER.glob("*.tf")):
        with path.open() as file:
            blocks = hcl2.load(file).get("resource", [])
        for kind, named in (item for block in blocks for item in block.items()):
            for name, content in named.items():
                own = {key: value for key, value in content.items() if key.strip('"') not in META}
                yield kind.strip('"'), name.strip('"'), own


def check(package: Path) -> list[str]:
    """Return what is wrong with the resources, by the unpacked npm package."""
    found: list[str] = []
    for kind, name, content in resources():
        folder = kind.removeprefix("google_").replace("_", "-")
        schema = read_schema((package / "lib" / folder / "index.d.ts").read_text())
        interface = "".join(word.title() for word in folder.split("-")) + "Config"
        found += faults(content, interface, schema, f"{kind}.{name}")
    return found


def _arguments(text: str) -> Iterator[tuple[str, Argument]]:
    for name, mark, kind in re.findall(r"readonly (\w+)(\??): (\w*)", text):
        yield snake_case(name), Argument(not mark, kind)


def snake_case(name: str) -> str:
    """Turn camelCase into snake_case."""
    return re.sub("([A-Z])", r"_\1", name).lower()


@click.command()
@click.argument("package", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(package: Path) -> None:
    """Check the Terraform files against the unpacked npm PACKAGE @cdktf/provider-google."""
    found = check(package)
    click.echo("\n".join(found) or "every block and argument is known, and none is missing")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
