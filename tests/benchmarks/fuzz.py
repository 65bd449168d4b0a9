"""Take thousands of mutated files through decode, network and encode, as composites and as masks.

    python -m tests.benchmarks.fuzz --count 5000

Prints what came of them, the slowest and the largest. Each case follows from its number, so that one that raises what
no input should is found again with `--first NUMBER --count 1`; were the process to die, the number is on the screen.
"""

import collections
import faulthandler

import click

from tests import hostile


@click.command()
@click.option("--count", default=5000, show_default=True, help="Files.")
@click.option("--first", default=0, show_default=True, help="Number of the first case.")
@click.option("--max-pixels", default=1_000_000, show_default=True, help="Larger images are refused.")
def main(count: int, first: int, max_pixels: int) -> None:
    """Fuzz the way of a pair."""
    faulthandler.enable()
    network = hostile.tiny_network()
    outcomes: dict[int, hostile.Outcome] = {}
    for number in range(first, first + count):
        click.echo(f"\r{number}", nl=False, err=True)
        outcomes[number] = hostile.attempt(hostile.mutated(number), network, max_pixels, as_mask=number % 3 == 0)
    click.echo("", err=True)
    for kind, times in collections.Counter(outcome.kind for outcome in outcomes.values()).most_common():
        click.echo(f"{times:6} {kind}")
    slowest = max(outcomes, key=lambda number: outcomes[number].seconds)
    largest = max(outcomes, key=lambda number: outcomes[number].excess)
    click.echo(f"slowest  case {slowest}: {outcomes[slowest].seconds:.2f} s")
    click.echo(f"largest  case {largest}: {outcomes[largest].excess / 1e6:.0f} MB above the estimate")


if __name__ == "__main__":
    main()
