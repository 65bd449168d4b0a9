"""The one way to run a network: arrays or PIL images in, the same out, at their own size and depth."""

import dataclasses
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, Self, cast, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from model.allocator import keep_strips
from model.engine import Engine
from model.hdnet import HDNet
from model.memory import peak_bytes
from model.smooth import smooth_change
from model.weights import load_network, read_header
from transforms import edges, errors, image, tensor

Precision = Literal["float32", "bfloat16"]
MaskLike = Image.Image | npt.NDArray[np.bool_ | np.uint8 | np.uint16]


@dataclasses.dataclass(frozen=True)
class Harmonizer:
    """Gives the foreground of a composite the light and colour of its background.

    Holds nothing but the network's weights, so one instance may serve several threads.

    Attributes:
        network: In eval mode, on `device`. From the first image on, changes of its weights may go unseen.
        device: Where it runs.
        precision: Of the convolutions; statistics, search and blend are in float32 or better.
        smoothing: How far an object's change of colour is moved towards one smooth map, 0 to 1 (`model.smooth`).
    """

    network: HDNet
    device: torch.device
    precision: Precision = "float32"
    smoothing: float = 0.0

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str] = "hdnet-lite",
        device: str = "auto",
        precision: Precision | Literal["auto"] = "float32",
    ) -> Self:
        """Load weights and put the network on a device; the smoothing is what their card asks for.

        Args:
            weights: The name of shipped weights, a path, or any URI fsspec opens.
            device: A torch device, or "auto": the GPU where there is one.
            precision: "float32", "bfloat16", or "auto": bfloat16 where the device computes in it, else float32.

        Raises:
            WeightsError: As for `model.weights.load_network`.
            ValueError: The device or the precision is unknown, or this machine has no such device.
        """
        if precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be auto, float32 or bfloat16: {precision!r}")
        chosen = choose_device(device)
        network = cast(HDNet, load_network(weights))
        smoothing = float(read_header(weights).get("smoothing", 0.0))
        return cls(network.to(chosen), chosen, choose_precision(precision, chosen), smoothing)

    @overload
    def __call__(self, composite: Image.Image, mask: MaskLike) -> Image.Image: ...

    @overload
    def __call__(self, composite: image.Pixels, mask: MaskLike) -> image.Pixels: ...

    def __call__(self, composite: Image.Image | image.Pixels, mask: MaskLike) -> Image.Image | image.Pixels:
        """Harmonize one composite.

        The network sees the mask's pixels of 128 and more as foreground; the blend follows the soft mask,
        and soft pixels outside take the colour change of the foreground beside them.

        Args:
            composite: (H,W,3) uint8 or uint16, or a PIL image of mode RGB, RGBA or L, of any size.
            mask: (H,W), 0 background to full scale foreground (0 and 1 will do); bool, uint8, uint16, or a
                PIL image of mode 1 or L.

        Returns:
            The same type, size and depth; where the mask is 0, the very values of `composite`.

        Raises:
            ShapeError: The two do not fit, or are not of these types.
        """
        if not isinstance(composite, Image.Image | np.ndarray):
            raise errors.ShapeError(f"a composite is an array or a PIL image, not a {type(composite).__name__}")
        if isinstance(composite, Image.Image):
            return _with_pixels(composite, self(_pixels(composite), mask))
        soft = _soft_mask(mask)
        result = self.colours(composite, soft)
        smooth_change(result, composite, image.threshold(soft), self.smoothing)
        edges.carry_outward(result, composite, soft)
        return tensor.blend(composite, result, soft)

    def colours(self, composite: image.Pixels, mask: image.Mask) -> tensor.FloatPixels:
        """Return the network's colours in the foreground, the composite's elsewhere, not rounded.

        Args:
            composite: (H,W,3) uint8 or uint16.
            mask: (H,W) uint8.

        Returns:
            (H,W,3) float32 in the composite's integer scale.

        Raises:
            ShapeError: The two do not fit, or have no pixels.
            HarmonizeError: The network's result is not finite.
        """
        if composite.shape[:2] != mask.shape:
            raise errors.ShapeError(f"the mask is {mask.shape}, its composite {composite.shape[:2]} (height, width)")
        height, width = mask.shape
        if not height * width:
            raise errors.ShapeError(f"the image is {width} x {height}: it has no pixels")
        inputs = (tensor.pad(x).to(self.device) for x in (tensor.to_tensor(composite), tensor.mask_to_tensor(mask)))
        with torch.inference_mode():
            result = tensor.crop(self._run(*inputs), height, width)
        if not torch.isfinite(result).all():
            raise errors.HarmonizeError(f"the network's result for a {width} x {height} image is not finite")
        return tensor.unscale(result, composite.dtype)

    def estimate(self, height: int, width: int) -> int:
        """Return about how many bytes harmonizing an image of this size takes at its peak."""
        return peak_bytes(self.network.config, height, width, self.precision)

    @cached_property
    def _run(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The engine on a CPU, elsewhere the network itself; two threads that both make it make the same."""
        if self.device.type == "cpu":
            keep_strips()
            return Engine(self.network, getattr(torch, self.precision))
        return self._run_network

    def _run_network(self, composite: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            result: Tensor = self.network(composite, mask)
        return result


def choose_precision(name: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision; "auto" is bfloat16 where the device has instructions for it, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if native else "float32"


def choose_device(name: str) -> torch.device:
    """Return the named torch device; "auto" is the GPU where there is one, else the CPU.

    Raises:
        ValueError: There is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; choose auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch finds no GPU here")
    return device


def _pixels(picture: Image.Image) -> image.Pixels:
    if picture.mode not in ("RGB", "RGBA", "L"):
        raise errors.ShapeError(f"a composite is of mode RGB, RGBA or L, not {picture.mode}: convert it first")
    return np.asarray(picture.convert("RGB"))


def _with_pixels(picture: Image.Image, pixels: image.Pixels) -> Image.Image:
    """Return a picture of the same mode (and alpha) with other colours."""
    result = Image.fromarray(pixels)
    result.info = dict(picture.info)  # the profile, without which the numbers mean other colours
    if picture.mode == "RGBA":
        result.putalpha(picture.getchannel("A"))
    return result.convert("L") if picture.mode == "L" else result


def _soft_mask(mask: MaskLike) -> image.Mask:
    if isinstance(mask, Image.Image) and mask.mode not in ("1", "L"):
        raise errors.ShapeError(f"a mask is of mode 1 or L, not {mask.mode}: convert it first")
    values: npt.NDArray[Any] = np.asarray(mask)
    if values.ndim != 2 or values.dtype not in (np.bool_, np.uint8, np.uint16):
        raise errors.ShapeError(f"a mask is (H,W) bool, uint8 or uint16, not {values.shape} {values.dtype}")
    return image.soft_mask(values)
