"""Checkpoints of the authors' released S2CRNet code: their tensors' names, and what they tell of the network."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from hdnet.model.architectures.s2crnet.config import Backbone
from hdnet.transforms.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

BACKBONES: dict[Backbone, str] = {"squeezenet": "squeezenet1_1", "vgg16": "model"}
"""The released names of the backbones."""

LABEL = {"label.0": "fc_label_1", "label.2": "fc_label_2", "foreground": "fc_f_label"}
"""Our layers' names in a stage -> the released ones, where there are labels."""
PLAIN = {"foreground": "fc_f_1.fc1"}
"""The same where there are none. A released checkpoint always has both; its training used one."""
BOTH = {"background": "fc_b_1.fc1"}


class ReleasedS2CRNet:
    """Converts checkpoints of the authors' released code; a `Converter`.

    Args:
        backbone: The backbone that checkpoints must have.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.prefix = BACKBONES[backbone]
        self.example = f"{self.prefix}.0.weight"

    def recognises(self, names: Collection[str]) -> bool:
        """Say whether the names are a released network's with this backbone."""
        return self.example in names and any(name.startswith("fusion.cr") for name in names)

    def unused(self, tensors: Mapping[str, Tensor]) -> set[str]:
        """Return the names of the layers that training left as they began: with labels, or without."""
        layers = PLAIN if _is_semantic(tensors) else LABEL
        return {name for name in tensors if any(f".{layer}." in name for layer in layers.values())}

    def fields(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read stages and labels from what is used.

        Raises:
            WeightsError: The stages are not numbered from 1.
        """
        stages = {int(found[1]) for name in tensors if (found := re.match(r"fusion\.cr(\d+)\.", name))}
        if stages != set(range(1, len(stages) + 1)):
            raise WeightsError(f"the stages are numbered {sorted(stages)}, not from 1")
        return {"stages": len(stages), "semantic": any(LABEL["foreground"] in name for name in tensors)}

    def released(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename our tensors."""
        layers = {**BOTH, **(LABEL if any(".label." in name for name in tensors) else PLAIN)}
        return {self._released_name(name, layers): value for name, value in tensors.items()}

    def _released_name(self, name: str, layers: Mapping[str, str]) -> str:
        if name.startswith("embedding.backbone."):
            return name.replace("embedding.backbone", self.prefix)
        _, stage, rest = name.split(".", 2)
        layer, _, kind = rest.rpartition(".")
        return f"fusion.cr{int(stage) + 1}.{layers[layer]}.{kind}"


def _is_semantic(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether a checkpoint was trained with labels.

    A linear layer begins with weights within 1/sqrt(inputs) of 0, and one without gradients stays there to the last
    bit; of a trained one's ten thousand weights some leave.
    """
    with_labels, without = (_is_trained(tensors, layers["foreground"]) for layers in (LABEL, PLAIN))
    if with_labels == without:
        state = "both were" if without else "neither was"
        raise WeightsError(f"it has a path with labels and one without, of which training uses one; {state} trained")
    return with_labels


def _is_trained(tensors: Mapping[str, Tensor], layer: str) -> bool:
    found = [value for name, value in tensors.items() if name.endswith(f".{layer}.weight")]
    weights = [value for value in found if value.ndim == 2 and value.numel() and value.is_floating_point()]
    return any(bool(weight.abs().max() > weight.shape[1] ** -0.5) for weight in weights)
