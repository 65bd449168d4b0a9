"""Runs a network: arrays or PIL images in, the same type out, at their own size and depth."""

import dataclasses
import os
import warnings
from functools import cached_property
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hdnet.model import team
from hdnet.model.architectures.base import Network, Renderer
from hdnet.model.precision import PRECISIONS, Precision
from hdnet.model.weights.weights_file import load_with_header
from hdnet.model.weights.weights_header import smoothing_of
from hdnet.transforms import compiled, errors, storage
from hdnet.transforms.catalog import labels
from hdnet.transforms.codecs import mask as masks
from hdnet.transforms.pixels import image

MaskLike = Image.Image | npt.NDArray[np.bool_ | np.uint8 | np.uint16]


@dataclasses.dataclass(frozen=True)
class Harmonizer:
    """Gives the foreground of a composite the light and colour of its background.

    One instance may serve several threads. A process that is forked after its use runs torch in one thread.

    Attributes:
        network: The network, in eval mode, on `device`. After the first image, changes of its weights may go unseen.
        device: The device that the network runs on.
        precision: The precision of the convolutions.
        label: Class of the foreground, by name or number, for images that are given none.
        smoothing: How far an object's change of colour is moved towards one smooth map, 0 to 1 (`hdnet.model.smooth`).
    """

    network: Network
    device: torch.device
    precision: Precision = "float32"
    label: str | int | None = None
    smoothing: float = 0.0

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike[str] = "ensemble",
        device: str = "auto",
        precision: Precision | Literal["auto"] = "float32",
        label: str | int | None = None,
    ) -> Self:
        """Load weights and put the network on a device; the smoothing is what their card asks for.

        Args:
            weights: The name of shipped weights, a path, or any URI fsspec opens.
            device: "cpu", "cuda", "cuda:N", or "auto": the GPU where there is one.
            precision: "float32", "bfloat16", or "auto": bfloat16 where the device computes in it, else float32.
            label: Class of the foreground, by name or number, for images that are given none.

        Raises:
            WeightsError: As for `hdnet.model.weights.weights_file.load_network`.
            VersionError: The compiled library that is installed is from another version.
            ValueError: The device or the precision is unknown, or this machine has no such device.
        """
        if precision not in ("auto", *PRECISIONS):
            raise ValueError(f"precision must be auto or one of {', '.join(PRECISIONS)}: {precision!r}")
        chosen = choose_device(device)
        compiled.installed()  # one that does not fit is told of here, and not at each image
        network, header = load_with_header(weights)
        smoothing = smoothing_of(header, os.fspath(weights))
        return cls(network.to(chosen), chosen, choose_precision(precision, chosen), label, smoothing)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of foregrounds, one of which the network must be told for each image; () for none."""
        return self.network.config.classes

    @overload
    def __call__(self, composite: Image.Image, mask: MaskLike, label: str | int | None = None) -> Image.Image: ...

    @overload
    def __call__(self, composite: image.Pixels, mask: MaskLike, label: str | int | None = None) -> image.Pixels: ...

    def __call__(
        self, composite: Image.Image | image.Pixels, mask: MaskLike, label: str | int | None = None
    ) -> Image.Image | image.Pixels:
        """Harmonize one composite.

        The blend follows the soft mask. A network that sees a hard one sees pixels of 128 and more as foreground, where
        the mask is off moved to the paste's edge, and soft pixels outside take the colour change of the foreground
        beside them.

        Args:
            composite: (H,W,3) uint8 or uint16, or a PIL image of mode RGB, RGBA or L, of any size.
            mask: (H,W), 0 background to full scale foreground (0 and 1 will do); bool, uint8, uint16, or a
                PIL image of any mode that `read_mask` can read.
            label: Class of the foreground, by name or number, for networks that take one; others warn and ignore it.

        Returns:
            The same type, size and depth; where the mask is 0, the very values of `composite`.

        Raises:
            ShapeError: The two do not fit, or are not of these types.
            DecodeError: The mask is no mask, as for `read_mask`.
            LabelError: The network takes a label, and there is none or an unknown one.
        """
        if not isinstance(composite, Image.Image | np.ndarray):
            raise errors.ShapeError(f"a composite is an array or a PIL image, not a {type(composite).__name__}")
        if isinstance(composite, Image.Image):
            return _with_pixels(composite, self(_pixels(composite), mask, label))
        soft = _soft_mask(mask)
        _check(composite, soft)
        return self._renderer(composite, soft, self._number(label))

    def colours(self, composite: image.Pixels, mask: image.Mask, label: str | int | None = None) -> image.FloatPixels:
        """Return the network's colours in the foreground, the composite's elsewhere, not rounded.

        Args:
            composite: (H,W,3) uint8 or uint16.
            mask: (H,W) uint8.
            label: As for a call.

        Returns:
            (H,W,3) float32 in the composite's integer scale.

        Raises:
            ShapeError: The two do not fit, or have no pixels.
            LabelError: As for a call.
            HarmonizeError: The network's result is not finite.
        """
        _check(composite, mask)
        return self._renderer.colours(composite, mask, self._number(label))

    def estimate(self, height: int, width: int) -> int:
        """Return about how many bytes harmonizing an image of this size takes at its peak."""
        return self.network.architecture.peak_bytes(self.network.config, height, width, self.precision)

    def _number(self, label: str | int | None) -> int | None:
        given = self.label if label is None else label
        if given is not None and not self.classes:
            warnings.warn(f"these weights take no labels: {given!r} changes nothing", stacklevel=3)
        return labels.number_of(given, self.classes)

    @cached_property
    def _renderer(self) -> Renderer:
        """The architecture's renderer; two threads that both make it make the same."""
        team.outlive_forks()
        renderer = self.network.architecture.renderer(self.network, self.device, self.precision)
        renderer.smoothing = self.smoothing
        return renderer


def read_mask(
    source: str | os.PathLike[str] | Image.Image, *, value: int | None = None, invert: bool = False
) -> image.Mask:
    """Read a mask as `hdnet-harmonize` does: a cut-out's alpha, grey, a palette, 8 or 16 bits.

    Args:
        source: A path, any URI that fsspec opens, or a PIL image. A file is turned by its EXIF orientation, a PIL image
            is not.
        value: The foreground is exactly this value: a class of a label map, or an index of a palette.
        invert: Foreground and background are exchanged.

    Returns:
        (H,W) uint8: 0 background, 255 foreground, the coverage of the pixel in between.

    Raises:
        DecodeError: The file is no image, or damaged; the mask is coloured or a label map, its alpha and grey values
            are two masks, or it has no foreground.
        SizeError: The mask has more than 64 million pixels.
        StorageError: The file cannot be read.
    """
    reading = masks.Reading(value, invert)
    if isinstance(source, Image.Image):
        return masks.from_pillow(source, "the mask", reading)
    uri = os.fspath(source)
    return masks.decode_mask(storage.read(uri), uri, reading=reading)


def choose_precision(name: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision; "auto" means bfloat16 where the device has instructions for it, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return "bfloat16" if native else "float32"


def choose_device(name: str) -> torch.device:
    """Return the named torch device, cpu, cuda or cuda:N; "auto" means the GPU where there is one, else the CPU.

    Raises:
        ValueError: There is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    unknown = f"unknown device {name!r}; choose auto, cpu, cuda or cuda:N"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(unknown) from error
    # Apple's is passed on untried; all other kinds would fail somewhere in the middle of the work.
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in counts:
        raise ValueError(unknown)
    if (found := counts[device.type]) <= (device.index or 0):
        raise ValueError(
            f"device {name!r} was asked for, but torch finds {f'only {found}' if found else 'no GPU'} here"
        )
    return device


def _check(composite: image.Pixels, mask: image.Mask) -> None:
    if composite.dtype not in (np.uint8, np.uint16) or composite.ndim != 3 or composite.shape[2] != 3:
        raise errors.ShapeError(f"a composite is (H,W,3) uint8 or uint16, not {composite.shape} {composite.dtype}")
    if composite.shape[:2] != mask.shape:
        raise errors.ShapeError(f"the mask is {mask.shape}, its composite {composite.shape[:2]} (height, width)")
    if not mask.size:
        raise errors.ShapeError(f"the image is {mask.shape[1]} x {mask.shape[0]}: it has no pixels")


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
    if isinstance(mask, Image.Image):
        return masks.from_pillow(mask, "the mask")
    values: npt.NDArray[Any] = np.asarray(mask)
    if values.ndim != 2 or values.dtype not in (np.bool_, np.uint8, np.uint16):
        raise errors.ShapeError(f"a mask is (H,W) bool, uint8 or uint16, not {values.shape} {values.dtype}")
    return image.soft_mask(values) if values.dtype == np.bool_ else masks.from_values(values, "the mask")
