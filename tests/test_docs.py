"""What README and the documentation name exists: files, headings, commands and their options."""

import importlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from tests.test_packaging import PROJECT, ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("*.md")])
SCRIPTS: dict[str, str] = {name: target.partition(":")[0] for name, target in PROJECT["project"]["scripts"].items()}
TOP = ("deploy", "docs", "examples", "hdnet", "model", "pipeline", "tests", "transforms")
"""The folders whose files pages name by their path from the root."""
OTHERS = {"--nproc-per-node", "--user", "--entrypoint", "--all-versions", "--location", "--semi_persist_dir"}
"""Options of other programs: torchrun, docker, gcloud, bq and Beam's boot program."""
MORE = {"hdnet-harmonize": ("hdnet.pipeline.photo", "hdnet.pipeline.status")}
"""Modules of the commands that a script has besides its own."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        assert linked.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(linked.read_text()), f"{target}: no such heading"


@every_page
def test_named_files_exist(page):
    for text in [*inline(page.read_text()), *blocks(page.read_text())]:
        for name in re.findall(rf"(?<![\w/.=-])(?:{'|'.join(TOP)})/[\w./-]*(?![\w*<])", text):
            assert "<" in text or "*" in text or (ROOT / name).exists(), f"{name}: no such file"


@every_page
def test_commands_take_the_options_they_are_given(page):
    for name, words in commands(page.read_text()):
        unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - set(options(name))
        assert not unknown - OTHERS, f"{name} has no {unknown}"


@every_page
def test_named_options_are_those_of_a_command_or_of_beam(page):
    ours = {option for target in [*SCRIPTS, *modules()] for option in options(target)}
    beams = {f"--{name}" for name in PipelineOptions([]).get_all_options()}
    named = {option for text in inline(page.read_text()) for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", text)}
    assert named <= ours | beams | OTHERS


def test_every_command_is_in_the_readme_or_a_page_of_its_own():
    told = {name for page in PAGES for name, _ in commands(page.read_text())}
    assert set(SCRIPTS) <= told


def inline(text: str) -> list[str]:
    """Return a page's code between single back-quotes."""
    return re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def blocks(text: str) -> list[str]:
    """Return the lines of a page's blocks of code; a line that ends with a backslash goes on in the next."""
    found = re.findall(r"```[^\n]*\n(.*?)```", text, re.DOTALL)
    return [line for block in found for line in block.replace("\\\n", " ").splitlines()]


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each of our commands in a page, as a script's or a module's name, with the words that follow."""
    for code in [*inline(text), *blocks(text)]:
        code = re.split(r"\s#\s|\s\|\s|\s--\s|\s--$|&&", " ".join(code.split()))[0]
        if found := re.search(r"(?:^|\s-m )((?:hdnet|deploy|tests)\.[\w.]+|hdnet-[a-z]+)\s(?!\|)(.*)", code):
            yield found[1], shlex.split(found[2])


def options(name: str) -> Iterator[str]:
    """Yield the options of a script or a module, and of the commands within it."""
    found = getattr(importlib.import_module(SCRIPTS.get(name, name)), "main", click.Command(None))
    more = [importlib.import_module(module).main for module in MORE.get(name, ())]
    for each in [found, *more, *(found.commands.values() if isinstance(found, click.Group) else ())]:
        for parameter in each.get_params(click.Context(each)):
            yield from (*parameter.opts, *parameter.secondary_opts)


def modules() -> set[str]:
    """Return the modules that pages run with `python -m`."""
    return {name for page in PAGES for name, _ in commands(page.read_text())} - set(SCRIPTS)


def anchors(text: str) -> set[str]:
    """Return the names under which a page's headings are linked to."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
