"""A mask's two regions, and what the network does per region, as matrix products.

A map in channels_last layout *is* a positions x channels matrix, and the regions are a positions x 2 matrix of 0 and 1.
Sums over a region, and values spread back over it, are then plain matrix products, which read the map once. The
backward passes are written out because autograd's own keep several maps alive and run elementwise kernels on slices of
channels, up to ten times slower than on whole maps.

On a CPU the foreground's positions are listed, and only they are multiplied by the foreground's matrix. A GPU would
wait for the list, whose length the mask decides: it multiplies all positions by both matrices and chooses.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Transform = Callable[..., tuple[Tensor, Tensor]]
"""(mean, var, *parameters) -> (scale, shift), each (B,R,C), by which each region's values are mapped."""


@dataclasses.dataclass(frozen=True)
class Regions:
    """Foreground and background of a batch at one scale.

    Attributes:
        inside: (B,H*W) bool, the foreground.
        listed: The foreground's positions; None where all positions are to be computed on.
    """

    inside: Tensor
    listed: "Listed | None"

    @classmethod
    def of(cls, mask: Tensor, listing: bool | None = None) -> Self:  # (B,1,H,W)
        """Split the positions of a mask of 0 and 1, and list the foreground's.

        A list saves work, and makes a GPU wait for its length: by default it is left out in training on a GPU alone.
        """
        inside = mask.flatten(1) > 0.5
        if listing is None:
            listing = mask.device.type == "cpu" or not torch.is_grad_enabled()
        return cls(inside, Listed.of(inside) if listing else None)

    def choose(self, foreground: Tensor, background: Tensor) -> Tensor:  # (B,H*W,C) each -> (B,H*W,C)
        """Return each position's value for its region; the arguments may be changed."""
        return torch.where(self.inside[:, :, None], foreground, background)

    @cached_property
    def columns(self) -> Tensor:  # (B,H*W,2)
        """The regions as float32 columns of 0 and 1: foreground, background."""
        return torch.stack([self.inside, ~self.inside], dim=2).float()

    @cached_property
    def sizes(self) -> Tensor:  # (B,2,1)
        """Positions in each region, float32."""
        return self.columns.sum(1)[:, :, None]


@dataclasses.dataclass(frozen=True)
class Listed:
    """The foreground of a batch as a list of positions.

    Attributes:
        index: (F,) int64, the positions in the batch flattened to B*H*W.
        counts: How many of them each image has; they sum to F.
    """

    index: Tensor
    counts: list[int]

    @classmethod
    def of(cls, inside: Tensor) -> Self:  # (B,H*W) bool
        """List the positions that are inside."""
        return cls(inside.flatten().nonzero()[:, 0], inside.sum(1).tolist())

    def foreground(self, rows: Tensor) -> tuple[Tensor, ...]:  # (B,H*W,C) -> B x (F_b,C)
        """Gather each image's foreground positions, in float32 at least.

        The counts differ from image to image, and oneDNN, which multiplies bfloat16, compiles a kernel
        for every new shape: that costs more than the product. float32 goes elsewhere.
        """
        parts: tuple[Tensor, ...] = wide(rows.flatten(0, 1).index_select(0, self.index)).split(self.counts)
        return parts


def positions(x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,H*W,C)
    """View a channels_last map as one row of channels per position (a copy in any other layout)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def wide(x: Tensor) -> Tensor:
    """Return x in float32 at least, for sums and statistics."""
    return x.float() if x.dtype.itemsize < 4 else x


def put_rows(rows: Tensor, index: Tensor, values: Tensor) -> None:  # (P,C), (F,) int64, (F,C) of rows' type
    """Replace rows in place; `index_copy_` takes its time per element, so rows move as the widest elements that fit."""
    size = math.gcd(16, rows.shape[1] * rows.element_size())
    unit = {16: torch.complex128, 8: torch.int64, 4: torch.int32, 2: torch.int16}[size]
    rows.view(unit).index_copy_(0, index, values.view(unit))


def join(skip: Tensor, x: Tensor) -> Tensor:  # (B,C,H,W), (B,D,H,W) -> (B,C+D,H,W)
    """Concatenate channels; the gradients come back as whole maps, not as slices of one."""
    joined: Tensor = _Join.apply(skip, x)  # type: ignore[no-untyped-call]
    return joined


def normalise(x: Tensor, columns: Tensor, count: Tensor, transform: Transform, *parameters: Tensor) -> Tensor:
    """Map every region of `x` affinely, by a map that is chosen from the region's mean and variance.

    Args:
        x: (B,C,H,W), any floating type; sums are taken in float32 at least.
        columns: (B,H*W,R) of 0 and 1, one column per region; each position belongs to one region.
        count: (B,R,1), what the sums over a region are divided by; above 0.
        transform: Chooses scale and shift; it is differentiable.
        parameters: Passed on to `transform`.

    Returns:
        x * scale + shift, (B,C,H,W), in x's type.
    """
    out: Tensor = _Normalise.apply(x, columns, count, transform, *parameters)  # type: ignore[no-untyped-call]
    return out


def multiply(x: Tensor, regions: Regions, foreground: Tensor, background: Tensor) -> Tensor:
    """Multiply each position's channels by its region's matrix (equation 6 of the paper).

    Args:
        x: (B,C,H,W).
        regions: Where each matrix holds, at x's scale.
        foreground: (B,C,C) (out, in), one matrix per image.
        background: Likewise.

    Returns:
        (B,C,H,W), in x's type.
    """
    if regions.listed is None:
        return _multiply_all(x, regions, foreground, background)
    out: Tensor = _Multiply.apply(x, regions.listed, foreground, background)  # type: ignore[no-untyped-call]
    return out


def as_map(rows: Tensor, like: Tensor) -> Tensor:  # (B,H*W,C), (B,_,H,W) -> (B,C,H,W)
    """View rows, one for each position, as a channels_last map of another's size."""
    return rows.view(len(like), *like.shape[2:], -1).permute(0, 3, 1, 2)


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, skip: Tensor, x: Tensor) -> Tensor:
        ctx.channels = [skip.shape[1], x.shape[1]]
        return torch.cat([skip, x], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(_whole(part) for part in grads[0].split(ctx.channels, dim=1))


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, columns: Tensor, count: Tensor, transform: Transform, *parameters: Tensor
    ) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = wide(positions(x))
            columns, count = columns.to(rows.dtype), count.to(rows.dtype)
            mean = (columns.mT @ rows) / count
            var = (columns.mT @ torch.baddbmm(rows, columns, mean, alpha=-1).square_()) / count
            scale, shift = transform(mean, var, *parameters)
            out = _empty_map(x)
            positions(out).copy_(_affine(rows, columns, scale, shift))
        ctx.transform = transform
        ctx.save_for_backward(x, columns, count, mean, var, *parameters)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, columns, count, *statistics = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            rows, grad = wide(positions(x)), wide(positions(_whole(grads[0])))
            with torch.enable_grad():
                statistics = [value.detach().requires_grad_() for value in statistics]
                scale, shift = ctx.transform(*statistics)
            outer = (columns.mT @ (grad * rows), columns.mT @ grad)
            to_mean, to_var, *to_parameters = torch.autograd.grad((scale, shift), statistics, outer)
            slope = 2 * to_var / count  # d var / d x = 2 (x - mean) / count
            to_rows = _affine(rows, columns, slope, to_mean / count - slope * statistics[0])
            to_rows.addcmul_(grad, _spread(columns, scale.detach()))
            to_x = _empty_map(x)
            positions(to_x).copy_(to_rows)
        return to_x, None, None, None, *to_parameters


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, listed: Listed, foreground: Tensor, background: Tensor) -> Tensor:
        ctx.listed = listed
        ctx.save_for_backward(x, foreground, background)
        return _multiply(x, listed, foreground.to(x.dtype), background.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, foreground, background = ctx.saved_tensors
        listed, grad = ctx.listed, _whole(grads[0])
        to_x = _multiply(grad, listed, foreground.mT.to(x.dtype), background.mT.to(x.dtype))
        pairs = zip(listed.foreground(positions(grad)), listed.foreground(positions(x)), strict=True)
        to_foreground = torch.stack([part.T @ rows for part, rows in pairs])
        outside = positions(grad).flatten(0, 1).index_fill(0, listed.index, 0).view_as(positions(grad))
        to_background = outside.mT @ positions(x)
        return to_x, None, to_foreground.to(foreground.dtype), to_background.to(background.dtype)


def _multiply(x: Tensor, listed: Listed, foreground: Tensor, background: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        out = _empty_map(x)
        rows = positions(out)
        torch.bmm(positions(x), background.mT, out=rows)
        parts = zip(listed.foreground(positions(x)), wide(foreground), strict=True)
        inside = torch.cat([part @ matrix.T for part, matrix in parts])
        put_rows(rows.flatten(0, 1), listed.index, inside.to(x.dtype))
    return out


def _multiply_all(x: Tensor, regions: Regions, foreground: Tensor, background: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        rows = positions(x)
        fore, back = (torch.bmm(rows, matrix.mT.to(x.dtype)) for matrix in (foreground, background))
        return as_map(regions.choose(fore, back), x)


def _whole(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _empty_map(like: Tensor) -> Tensor:
    # A map of its own, not a view of rows: activations may then work in place on it.
    return torch.empty_like(like, memory_format=torch.channels_last)


def _spread(columns: Tensor, values: Tensor) -> Tensor:  # (B,N,R), (B,R,C) -> (B,N,C) or (B,1,C)
    return values if values.shape[1] == 1 else columns @ values


def _affine(rows: Tensor, columns: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(_spread(columns, shift), rows, _spread(columns, scale))
