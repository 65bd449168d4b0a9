"""S2CRNet written from its equations, slowly and plainly: what the real one is held to.

Takes the real network's weights, and nothing else from it. One image at a time, in float64; thumbnails are Pillow's.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

FIRES = (3, 4, 6, 7, 9, 10, 11)
POOLS = (2, 5, 8)
VGG = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG_POOLS = (4, 9, 16, 23)
LITE0_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1)


def harmonize(weights, composite, mask, side, label=None):
    """Harmonize an (H,W,3) uint8 or uint16 array with an (H,W) uint8 mask: float64 in 0..1, clipped, not rounded."""
    v = composite / np.iinfo(composite.dtype).max
    p = parameters(weights, thumbnails(composite, mask, side), label).numpy()
    rendered = v
    for stage in p:
        rendered = np.stack([curve(stage[c], rendered[..., c]) for c in range(3)], axis=-1)
    share = (mask / 255)[..., None]
    return np.clip(rendered * share + v * (1 - share), 0, 1)


def curve(p, v):
    """Sum the 64 pieces: out = L/S * sum_i p_i * clip(v - i/L, 0, 1/L)."""
    total = sum(p[i] * np.clip(v - i / 64, 0, 1 / 64) for i in range(64))
    return 64 / (p.sum() + 1e-30) * total


def thumbnails(composite, mask, side):
    """Return image, mask, and both within the mask's box, as (3,side,side) and (1,side,side) in 0..1."""
    narrow = composite if composite.dtype == np.uint8 else np.rint(composite / 257).astype(np.uint8)
    picture, grey = Image.fromarray(narrow), Image.fromarray(mask)
    box = grey.getbbox()
    four = [picture, grey, picture.crop(box), grey.crop(box)]
    arrays = [np.asarray(one.resize((side, side), Image.Resampling.BILINEAR)) / 255 for one in four]
    return [torch.from_numpy(one.reshape(side, side, -1)).permute(2, 0, 1) for one in arrays]


def parameters(weights, seen, label=None):
    """Compute all stages' curve parameters, (K,3,64), for one image's thumbnails; `label` is a number."""
    composite, mask, crop, crop_mask = seen
    w = {name: value.double() for name, value in weights.items()}
    f, b = (embedding(w, x) for x in (crop * crop_mask, composite * (1 - mask)))
    stages = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("stages."))
    return torch.stack([curve_rendering_module(w, f"stages.{k}", f, b, label) for k in range(stages)])


def curve_rendering_module(w, name, f, b, label):
    def linear(part, x):
        return w[f"{name}.{part}.weight"] @ x + w[f"{name}.{part}.bias"]

    if f"{name}.label.0.weight" in w:
        known = torch.zeros(5, dtype=f.dtype)
        known[label] = 1
        f = torch.cat([f, linear("label.2", linear("label.0", known).relu())])
    return (linear("background", b) + linear("foreground", f)).view(3, 64)


def embedding(w, x):
    """Extract features, with the backbone whose weights are there, and average them: (512)."""
    w = {name.removeprefix("embedding.backbone."): value for name, value in w.items()}
    x = squeezenet(w, x[None]) if "3.squeeze.weight" in w else vgg16(w, x[None])
    return x[0].mean((1, 2))


def conv(w, name, x, **options):
    return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **options).relu()


def squeezenet(w, x):
    x = conv(w, "0", x, stride=2)
    for layer in range(2, 12):
        if layer in POOLS:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        if layer in FIRES:
            squeezed = conv(w, f"{layer}.squeeze", x)
            wide = conv(w, f"{layer}.expand1x1", squeezed), conv(w, f"{layer}.expand3x3", squeezed, padding=1)
            x = torch.cat(wide, dim=1)
    return x


def vgg16(w, x):
    for layer in range(29):
        if layer in VGG_POOLS:
            x = F.max_pool2d(x, 2)
        if layer in VGG:
            x = conv(w, str(layer), x, padding=1)
    return x


def efficientnet_lite0(w, x):
    """Compute what block 11 of EfficientNet-Lite0 widens, with weights under the names of its checkpoint."""
    x = same(x * 255 / 128 - 127 / 128, w["_conv_stem.weight"], 2)
    x = normalised(w, "_bn0", x).clamp(0, 6)
    for i, stride in enumerate(LITE0_STRIDES):
        y = widened(w, i, x) if i else x
        y = same(y, w[f"_blocks.{i}._depthwise_conv.weight"], stride, y.shape[1])
        y = normalised(w, f"_blocks.{i}._bn1", y).clamp(0, 6)
        y = normalised(w, f"_blocks.{i}._bn2", same(y, w[f"_blocks.{i}._project_conv.weight"]))
        x = x + y if x.shape == y.shape else y
    return widened(w, 11, x)


def widened(w, i, x):
    return normalised(w, f"_blocks.{i}._bn0", same(x, w[f"_blocks.{i}._expand_conv.weight"])).clamp(0, 6)


def same(x, kernel, stride=1, groups=1):
    """Convolve a square map with TensorFlow's padding "SAME"."""
    side, size = x.shape[-1], kernel.shape[-1]
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return F.conv2d(F.pad(x, (total // 2, total - total // 2) * 2), kernel, stride=stride, groups=groups)


def normalised(w, name, x):
    mean, variance, weight, bias = (
        w[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-3).sqrt() * weight + bias
