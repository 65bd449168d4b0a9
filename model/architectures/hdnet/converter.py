"""Checkpoints of the authors' released HDNet code: their tensors' names, and what they tell of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from hdnet.transforms.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

STEM = "model_layer0.weight"

MODULES = {
    "stem": "model_layer0",
    "neck": "model_layer71.1",
    "local.linear": "LD.linear",
    "widen.conv": "model_layer72.1",
    "widen.norm": "model_layer72norm",
    **{f"encoder.{i}.conv": f"model_layer{i + 1}.1" for i in range(6)},
    **{f"decoder.{i}.conv": f"model_layer{i + 8}.1" for i in range(6)},
    **{f"decoder.{i}.norm": f"model_layer{i + 8}norm" for i in range(6)},
    "decoder.4.dynamics.squeeze": "model_layer11att.conv_kernel.1",
    "decoder.4.dynamics.kernels": "model_layer11att.conv_kernel.3",
    "decoder.5.dynamics.squeeze": "model_layer12att.conv_kernel.1",
    "decoder.5.dynamics.kernels": "model_layer12att.conv_kernel.3",
    "last.squeeze": "model_layer13att.conv_kernel.1",
    "last.kernels": "model_layer13att.conv_kernel.3",
    "out": "model_out.1",
}
"""Our modules' names -> the released code's."""

UNUSED = frozenset(f"model_layer{i}att.conv_guide.{kind}" for i in (11, 12, 13) for kind in ("weight", "bias"))
"""The learned-mask branch, which every released checkpoint has and which has no effect where the mask is given."""


class ReleasedHDNet:
    """Converts checkpoints of the authors' released code; a `Converter`."""

    example = STEM

    def recognises(self, names: Collection[str]) -> bool:
        """Say whether any of the names is a released tensor's."""
        modules = set(MODULES.values())
        return any(name in UNUSED or name.rpartition(".")[0] in modules for name in names)

    def unused(self, tensors: Mapping[str, Tensor]) -> set[str]:
        """Return the tensors of the learned-mask branch."""
        return set(UNUSED & tensors.keys())

    def fields(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the width; the authors' code trains with its own local dynamics.

        Raises:
            WeightsError: There is no stem, or it is not one that takes an image alone.
        """
        if STEM not in tensors:
            raise WeightsError(f"the tensors do not fit the architecture; missing: {STEM}")
        shape = tuple(tensors[STEM].shape)
        if len(shape) == 4 and shape[1] == 4:
            raise WeightsError("the stem takes 4 channels, image and mask; this option is not supported")
        if shape[1:] != (3, 3, 3) or not shape[0]:
            raise WeightsError(f"{STEM} has the shape {shape}, not (width, 3, 3, 3)")
        return {"width": shape[0], "local_dynamics": "released"}

    def released(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename our tensors; the released code has a Conv1d in local dynamics where ours has a linear layer."""
        renamed = {released_name(name): value for name, value in tensors.items()}
        return {name: value[..., None] if name == "LD.linear.weight" else value for name, value in renamed.items()}


def released_name(name: str) -> str:
    """Return the released code's name of one of our tensors."""
    module, _, kind = name.rpartition(".")
    return f"{MODULES[module]}.{kind}"
