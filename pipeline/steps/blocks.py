"""Shuffles that carry values in compressed blocks, because a single value costs every runner more than its own bytes.

The local runner holds what it shuffles in the launcher's memory and adds some hundred bytes to each element; other
runners bill by the byte. A block holds the names and paths that its values share only once.
"""

import dataclasses
import itertools
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import no_annotations

Value = TypeVar("Value")
Collections = PCollection[Value] | tuple[PCollection[Value], ...]

SIZE = 250
"""The largest number of values in a block."""
OPEN = 10_000
"""The largest number of values that a thread holds in blocks which are not yet full."""


def pack(content: Sequence[Any]) -> bytes:
    """Return values as one block."""
    return zlib.compress(pickle.dumps(content, pickle.HIGHEST_PROTOCOL), 1)


def unpack(block: bytes) -> list[Any]:
    """Return the values of a block."""
    content: list[Any] = pickle.loads(zlib.decompress(block))
    return content


def each(collections: Collections[Value]) -> tuple[PCollection[Value], ...]:
    """Return one or several collections as a tuple."""
    return (collections,) if isinstance(collections, PCollection) else collections


def values(blocks: Iterable[bytes]) -> Iterator[Any]:
    """Yield the values of the blocks, one block after the other."""
    return itertools.chain.from_iterable(map(unpack, blocks))


@dataclasses.dataclass
class GroupInBlocks(beam.PTransform[Collections[Any], PCollection[tuple[Any, Iterable[bytes]]]]):
    """Group the values of one or several collections by a key. A group comes as blocks; read it with `values`.

    Attributes:
        key: Returns the key of a value.
        arguments: Further arguments of `key`.
    """

    key: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    @no_annotations  # type: ignore[untyped-decorator]
    def expand(self, input_or_inputs: Collections[Any]) -> PCollection[tuple[Any, Iterable[bytes]]]:
        # Flattening the collections would write out all of their values one by one, at least on the local runner.
        packed = [
            collection | f"Key{i}" >> beam.Map(_keyed, self.key, self.arguments) | f"Pack{i}" >> beam.ParDo(Pack(SIZE))
            for i, collection in enumerate(each(input_or_inputs))
        ]
        groups: PCollection[tuple[Any, Iterable[bytes]]] = (
            packed | "Blocks" >> beam.Flatten() | "Group" >> beam.GroupByKey()
        )
        return groups


@dataclasses.dataclass
class SpreadInBlocks(beam.PTransform[PCollection[Any], PCollection[Any]]):
    """Redistribute values over the workers as `beam.Reshuffle` does, several at a time.

    Attributes:
        size: The largest number of values that stay together.
    """

    size: int

    def expand(self, values: PCollection[Any]) -> PCollection[Any]:
        spread: PCollection[Any] = (
            values
            | "KeyAlike" >> beam.Map(_keyed_alike)
            | "Pack" >> beam.ParDo(Pack(self.size))
            | "Blocks" >> beam.Values()
            | "Spread" >> beam.Reshuffle()
            | "Unpack" >> beam.FlatMap(unpack)
        )
        return spread


class Pack(beam.DoFn):
    """Packs (key, value) into (key, block).

    Args:
        size: The largest number of values in a block.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def start_bundle(self) -> None:
        self.open: dict[Any, list[Any]] = {}
        self.count = 0

    def process(self, element: tuple[Any, Any]) -> Iterator[tuple[Any, bytes]]:
        key, value = element
        waiting = self.open.setdefault(key, [])
        waiting.append(value)
        self.count += 1
        if len(waiting) >= self.size:
            self.count -= len(waiting)
            yield key, pack(self.open.pop(key))
        elif self.count >= OPEN:
            yield from self._close()

    def finish_bundle(self) -> Iterator[Any]:
        return (GlobalWindows.windowed_value(block) for block in self._close())

    def _close(self) -> Iterator[tuple[Any, bytes]]:
        found, self.open, self.count = self.open, {}, 0
        return ((key, pack(waiting)) for key, waiting in found.items())


def _keyed(value: Any, key: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    return key(value, *arguments), value


def _keyed_alike(value: Any) -> tuple[None, Any]:
    return None, value
