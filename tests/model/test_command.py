"""What all commands share."""

import importlib

import click
import pytest
from click.testing import CliRunner

from hdnet.model import command
from tests.test_docs import MORE, SCRIPTS

COMMANDS = [*SCRIPTS.values(), *MORE["hdnet-harmonize"]]


@click.command()
@click.option("--input", "manifest", required=True)
@click.option("--max-pixels", default=5)
@click.option("--resume/--no-resume", default=True)
@click.option("--network", multiple=True)
@click.argument("beam_args", nargs=-1, type=click.UNPROCESSED)
@command.config
@command.version
def example(**given):
    click.echo(repr(given))
    click.echo(" ".join(command.words(click.get_current_context(), {"network"})))


def call(tmp_path, text, *arguments):
    (tmp_path / "run.yaml").write_text(text)
    return CliRunner().invoke(example, ["--config", str(tmp_path / "run.yaml"), *arguments], prog_name="hdnet-x")


def test_options_come_from_a_file_and_the_command_line_counts_more(tmp_path):
    text = "input: a.csv\nmax_pixels: 7\nresume: false\nnetwork: [k=3, width=1]\nbeam-args: [--runner=X]\n"
    given, words = call(tmp_path, text, "--max-pixels", "9").output.splitlines()
    assert eval(given) == {"manifest": "a.csv", "max_pixels": 9, "resume": False, "network": ("k=3", "width=1"),
                           "beam_args": ("--runner=X",)}  # fmt: skip
    assert words == "--input a.csv --max-pixels 9 --no-resume"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input: a\nmax-pixel: 7", "hdnet-x has no option max-pixel (perhaps max-pixels?)"),
        ("- a", "option: value"),
        ("a: [", "is no YAML"),
        ("max-pixels: many\ninput: a", "'many' is not a valid integer"),
    ],
)
def test_mistakes_in_the_file_are_bad_usage(tmp_path, text, said):
    result = call(tmp_path, text)
    assert result.exit_code == 2 and said in result.output


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_says_its_version(module):
    result = CliRunner().invoke(importlib.import_module(module).main, ["--version"])
    assert result.exit_code == 0 and "version 0.1.0" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell):
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found and "_HDNET_X_COMPLETE" in found(example, {}, "hdnet-x", "_HDNET_X_COMPLETE").source()


def test_options_complete_before_anything_is_given():
    from click.shell_completion import BashComplete

    from hdnet.pipeline.run import main

    found = BashComplete(main, {}, "hdnet-harmonize", "_X").get_completions([], "--in")
    assert "--input" in [each.value for each in found]
