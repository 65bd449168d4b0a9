"""The authors' released network written down a second time, plainly, from its description: an oracle for ours.

Nothing of ours is imported, and the released names are used throughout. Loops over images and positions take the
place of our matrix products.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
EPS = 1e-5
STRIDES = {1: 2, 2: 1, 3: 2, 4: 1, 5: 2, 6: 1, 8: 1, 9: 2, 10: 1, 11: 2, 12: 1, 13: 2}
SCALES = {"72": 8, "8": 8, "9": 4, "10": 4, "11": 2, "12": 2, "13": 1}
"""How much smaller than the input the maps of each decoder layer are."""


def run(weights: Weights, composite: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
    """Return the result (B,3,H,W) and every module's output by its released name.

    Args:
        weights: By released name, float64.
        composite: (B,3,H,W) float64 in [-1, 1]; H and W are multiples of 8.
        mask: (B,1,H,W) float64 of 0 and 1.
    """
    stages: Weights = {"model_layer0": F.conv2d(composite, weights["model_layer0.weight"], padding=1)}
    skips = [F.leaky_relu(stages["model_layer0"], 0.2)]
    for i in range(1, 7):
        conv = F.conv2d(skips[-1], weights[f"model_layer{i}.1.weight"], stride=STRIDES[i], padding=1)
        stages[f"model_layer{i}"] = conv
        stages[f"model_layer{i}norm"] = instance_norm(conv)
        skips.append(F.leaky_relu(stages[f"model_layer{i}norm"], 0.2))
    stages["model_layer71"] = F.conv2d(skips[6], weights["model_layer71.1.weight"], padding=1)
    stages["LD"] = local_dynamics(weights, stages["model_layer71"], mask[:, :, ::8, ::8])

    x = _up(weights, stages, "72", stages["LD"], mask, stride=1)
    for i in range(8, 14):
        x = torch.cat([skips[14 - i], x], dim=1)
        if i >= 12:
            x = _global(weights, stages, i - 1, x, mask[:, :, ::2, ::2])
        x = _up(weights, stages, str(i), x, mask, stride=STRIDES[i])
    x = _global(weights, stages, 13, torch.cat([skips[0], x], dim=1), mask)
    bias = weights["model_out.1.bias"]
    stages["model_out"] = F.conv_transpose2d(x.relu(), weights["model_out.1.weight"], bias, padding=1).tanh()
    return stages["model_out"] * mask + composite * (1 - mask), stages


def random_weights(width: int, seed: int) -> Weights:
    """Return float32 weights of a network of any width, none of them 0, as in a released checkpoint."""
    n, generator = width, torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"model_layer0.weight": (n, 3, 3, 3)}
    channels = [n, 2 * n, 4 * n, 8 * n, 8 * n, 8 * n, 8 * n]
    for i in range(1, 7):
        shapes[f"model_layer{i}.1.weight"] = (channels[i], channels[i - 1], 2 + STRIDES[i], 2 + STRIDES[i])
    for name in ("71", "72"):
        shapes[f"model_layer{name}.1.weight"] = (8 * n, 8 * n, 3, 3)
    for i in range(8, 14):
        into, out = 2 * channels[14 - i], channels[13 - i]
        shapes[f"model_layer{i}.1.weight"] = (into, out, 2 + STRIDES[i], 2 + STRIDES[i])
        shapes |= {f"model_layer{i}norm.{kind}": (out,) for kind in RAIN_KINDS}
    shapes |= {f"model_layer72norm.{kind}": (8 * n,) for kind in RAIN_KINDS}
    for i, c in ((11, 8 * n), (12, 4 * n), (13, 2 * n)):
        shapes |= {
            f"model_layer{i}att.conv_kernel.1.weight": (4, c, 1, 1), f"model_layer{i}att.conv_kernel.1.bias": (4,),
            f"model_layer{i}att.conv_kernel.3.weight": (2 * c * c, 2, 1, 1),
            f"model_layer{i}att.conv_kernel.3.bias": (2 * c * c,),
            f"model_layer{i}att.conv_guide.weight": (2, c, 1, 1), f"model_layer{i}att.conv_guide.bias": (2,),
        }  # fmt: skip
    shapes |= {"LD.linear.weight": (8 * n, 16 * n, 1), "LD.linear.bias": (8 * n,)}
    shapes |= {"model_out.1.weight": (2 * n, 3, 3, 3), "model_out.1.bias": (3,)}
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


RAIN_KINDS = ("foreground_gamma", "foreground_beta", "background_gamma", "background_beta")


def instance_norm(x: Tensor) -> Tensor:  # (B,C,H,W) -> (B,C,H,W)
    """Bring each channel of each image to mean 0, variance 1."""
    mean = x.mean((2, 3), keepdim=True)
    var = (x - mean).square().mean((2, 3), keepdim=True)
    return (x - mean) / (var + EPS).sqrt()


def local_dynamics(weights: Weights, x: Tensor, mask: Tensor) -> Tensor:  # (B,C,h,w), (B,1,h,w) -> (B,C,h,w)
    """Give each foreground position the best background vector, weighted over the map."""
    linear, bias = weights["LD.linear.weight"][:, :, 0], weights["LD.linear.bias"]
    images: list[Tensor] = []
    for image, inside in zip(x, mask, strict=True):
        rows, where = image.flatten(1).T, inside.flatten() > 0.5
        candidates = rows * ~where[:, None]
        best = {i: int((candidates @ rows[i]).argmax()) for i in range(len(rows)) if where[i]}
        scores = [rows[i] @ candidates[best[i]] if i in best else rows.new_zeros(()) for i in range(len(rows))]
        shares = torch.stack(scores).softmax(0)
        out = list(rows)
        for i, j in best.items():
            out[i] = linear @ torch.cat([shares[i] * candidates[j], rows[i]]) + bias
        images.append(torch.stack(out, dim=1).view_as(image))
    return torch.stack(images)


def rain(weights: Weights, name: str, x: Tensor, mask: Tensor) -> Tensor:  # (B,C,H,W), (B,1,H,W) -> (B,C,H,W)
    """Normalise by region; the foreground takes the background's statistics."""
    fore_gamma, fore_beta, back_gamma, back_beta = (weights[f"{name}.{kind}"][:, None, None] for kind in RAIN_KINDS)
    images: list[Tensor] = []
    for image, inside in zip(x, mask, strict=True):
        mean_fore, std_fore = _statistics(image, inside)
        mean_back, std_back = _statistics(image, 1 - inside)
        back = (image - mean_back) / std_back * (1 + back_gamma) + back_beta
        fore = ((image - mean_fore) / std_fore * std_back + mean_back) * (1 + fore_gamma) + fore_beta
        images.append(fore * inside + back * (1 - inside))
    return torch.stack(images)


def global_dynamics(weights: Weights, name: str, x: Tensor, mask: Tensor) -> Tensor:  # likewise
    """Mix the channels of each region by a matrix predicted from the whole map."""
    images: list[Tensor] = []
    for image, inside in zip(x, mask, strict=True):
        c = len(image)
        squeeze = weights[f"{name}.conv_kernel.1.weight"].flatten(1) @ image.mean((1, 2))
        code = (squeeze + weights[f"{name}.conv_kernel.1.bias"]).sigmoid()
        matrices = []
        for group in (0, 1):
            rows = slice(group * c * c, (group + 1) * c * c)
            kernel = weights[f"{name}.conv_kernel.3.weight"][rows].flatten(1) @ code[2 * group : 2 * group + 2]
            matrices.append((kernel + weights[f"{name}.conv_kernel.3.bias"][rows]).view(c, c))
        fore, back = (torch.einsum("oi,ihw->ohw", matrix, image) for matrix in matrices)
        images.append(fore * inside + back * (1 - inside))
    return torch.stack(images)


def _statistics(image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:  # (C,H,W), (1,H,W) -> (C,1,1) twice
    count = region.sum() + EPS
    mean = (image * region).sum((1, 2), keepdim=True) / count
    var = ((image - mean).square() * region).sum((1, 2), keepdim=True) / count
    return mean, (var + EPS).sqrt()


def _up(weights: Weights, stages: Weights, layer: str, x: Tensor, mask: Tensor, stride: int) -> Tensor:
    name, step = f"model_layer{layer}", SCALES[layer]
    stages[name] = F.conv_transpose2d(x.relu(), weights[f"{name}.1.weight"], stride=stride, padding=1)
    stages[f"{name}norm"] = rain(weights, f"{name}norm", stages[name], mask[:, :, ::step, ::step])
    return stages[f"{name}norm"]


def _global(weights: Weights, stages: Weights, layer: int, x: Tensor, mask: Tensor) -> Tensor:
    name = f"model_layer{layer}att"
    stages[name] = global_dynamics(weights, name, x, mask)
    return stages[name]
