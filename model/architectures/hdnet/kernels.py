"""The passes between convolutions by the compiled library (`transforms/compiled.py`), if it is installed."""

import ctypes
import dataclasses
from collections.abc import Callable, Sequence
from ctypes import c_float, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from hdnet.model.architectures.hdnet.passes import Affine, Foreground, Passes, unchanged
from hdnet.model.architectures.hdnet.regions import Regions
from hdnet.transforms import compiled

if TYPE_CHECKING:
    from hdnet.model.architectures.hdnet.search import Search

IS_FLOAT = {torch.float32: True, torch.bfloat16: False}
"""The types of the values that the library takes; what has another type is a KeyError."""


@cache
def installed() -> Passes:
    """Return the library's passes if it is installed, and torch's if not.

    Raises:
        VersionError: It is from another version of this program.
    """
    library = compiled.installed()
    return CompiledPasses(library) if library else Passes()


class CompiledPasses(Passes):
    """The passes of a compiled library.

    It computes in float32 as torch does, but rounds once at a pass's end where torch rounds after each operation: a
    value differs by less than two units in its last place.

    Args:
        library: As `compiled` loads it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.compiled = library
        self.lanes, self.wide = (compiled.constant(library, name) for name in ("hdnet_lanes", "hdnet_wide"))

    def _scratch(self, lines: int, channels: int) -> Tensor:
        """Return memory for so many float32 values for each channel of the positions that are taken together."""
        return torch.empty(lines * max(channels, self.wide))

    def read(
        self,
        rows: Tensor,
        out: Tensor,
        affine: Sequence[Affine] = (),
        foreground: Foreground | None = None,
        top: int = 0,
        slope: float = 1.0,
    ) -> None:
        rows, (height, width, channels) = rows.contiguous(), rows.shape
        affine = affine or [unchanged(channels)]
        fore, back, scratch = affine[0], affine[-1], self._scratch(5, channels)
        self.compiled.hdnet_read(
            rows.data_ptr(), out.data_ptr(), height * width, channels, out.stride(1), _mask(foreground, top),
            *(values.data_ptr() for values in (fore.scale, fore.shift, back.scale, back.shift)),
            slope, IS_FLOAT[rows.dtype], IS_FLOAT[out.dtype], scratch.data_ptr(),
        )  # fmt: skip

    def moments(self, rows: Tensor, foreground: Foreground | None, top: int) -> Sequence[Tensor]:
        rows, (height, width, channels) = rows.contiguous(), rows.shape
        found, scratch = torch.empty(2, 3, channels, dtype=torch.float64), self._scratch(6, channels)
        self.compiled.hdnet_moments(
            rows.data_ptr(), height * width, channels, _mask(foreground, top), found.data_ptr(), IS_FLOAT[rows.dtype],
            scratch.data_ptr(),
        )  # fmt: skip
        return [found if foreground else found[1:]]

    def merged(self, strips: Sequence[Sequence[Tensor]]) -> Tensor:  # (3,R,C) float64
        several = torch.stack([found for (found,) in strips])
        count, regions, _, channels = several.shape
        whole = torch.empty(3, regions, channels, dtype=torch.float64)
        self.compiled.hdnet_merge(several.data_ptr(), count, regions, channels, whole.data_ptr())
        return whole

    def total(self, rows: Tensor) -> Tensor:  # (h,W,C) -> (C,)
        rows, (height, width, channels) = rows.contiguous(), rows.shape
        totals, scratch = torch.empty(channels, dtype=torch.float64), self._scratch(1, channels)
        self.compiled.hdnet_total(
            rows.data_ptr(), height * width, channels, totals.data_ptr(), IS_FLOAT[rows.dtype], scratch.data_ptr()
        )
        return totals.float()

    def regions(self, foreground: Foreground, top: int, bottom: int, dtype: torch.dtype) -> Regions:
        if dtype == torch.float32 or not foreground.count(top, bottom):
            return super().regions(foreground, top, bottom, dtype)
        return _Regions(foreground.rows(top, bottom).view(1, -1), None, self.compiled)

    def finder(self, search: "Search") -> Callable[[Tensor], Tensor]:  # (P,) int64 -> (P,K) int64
        if search.queries.device.type != "cpu" or search.queries.dtype != torch.float32:
            return super().finder(search)
        blocks, (count, dimensions) = search.blocks, search.blocks.low.shape
        spare = -blocks.rows.shape[1] % self.lanes
        keys = F.pad(blocks.keys, (0, 0, 0, spare)).mT.contiguous()  # (N,C,S), for keys are compared side by side
        handicap, rows = F.pad(blocks.handicap, (0, spare), value=-torch.inf), F.pad(blocks.rows, (0, spare))
        several = search.queries, search.places, search.lengths, keys, handicap, blocks.low, blocks.high, rows
        told = [values.contiguous() for values in several]

        def find(some: Tensor) -> Tensor:
            best, index = torch.empty(len(some), search.k), torch.empty(len(some), search.k, dtype=torch.int64)
            seeds = torch.empty(min(search.seeds, count), dtype=torch.int64)
            scratch = torch.empty(len(some) + count + 2 * dimensions + len(seeds))
            structure = _Search(
                keys.shape[1], dimensions, count, keys.shape[2], search.k, len(seeds),
                *(values.data_ptr() for values in told), search.reach, search.slack,
            )  # fmt: skip
            self.compiled.hdnet_search(
                ctypes.byref(structure), some.data_ptr(), len(some), best.data_ptr(), index.data_ptr(),
                scratch.data_ptr(), seeds.data_ptr(),
            )  # fmt: skip
            return index

        return find

    def rectify(self, x: Tensor) -> Tensor:
        if not x.is_contiguous(memory_format=torch.channels_last):
            return super().rectify(x)
        self.compiled.hdnet_rectify(x.data_ptr(), x.numel(), IS_FLOAT[x.dtype])
        return x


class _Search(ctypes.Structure):
    """`Search` in the library's source."""

    _fields_ = [
        *((name, c_int64) for name in ("channels", "dimensions", "blocks", "size", "k", "seeds")),
        *((name, c_void_p) for name in ("queries", "places", "lengths", "keys", "handicap", "low", "high", "rows")),
        *((name, c_float) for name in ("reach", "slack")),
    ]


@dataclasses.dataclass(frozen=True)
class _Regions(Regions):
    """Regions whose matrices are both applied everywhere: in bfloat16 that costs less than picking positions.

    Attributes:
        compiled: The library, which chooses.
    """

    compiled: ctypes.CDLL

    def choose(self, foreground: Tensor, background: Tensor) -> Tensor:  # (1,H*W,C) each -> (1,H*W,C)
        _, count, channels = background.shape
        size = channels * background.element_size()
        self.compiled.hdnet_choose(foreground.data_ptr(), background.data_ptr(), count, size, self.inside.data_ptr())
        return background


def _mask(foreground: Foreground | None, top: int) -> int | None:
    """Return the address of a row of the mask."""
    return None if foreground is None else foreground.mask.data_ptr() + top * foreground.mask.shape[1]
