"""The paper's HDNet written from its equations, slowly and plainly: what the real one is held to.

Takes the real network's weights, and nothing else from it. One image at a time, loops where the
equations have indices.
"""

import torch
import torch.nn.functional as F

EPS = 1e-5


def hdnet(weights, composite, mask, k):
    """Harmonize (3,H,W) in [-1, 1] with a (H,W) mask of 0 and 1."""
    w = dict(weights)
    lrelu = lambda x: torch.where(x > 0, x, 0.2 * x)  # noqa: E731
    skips = [lrelu(conv(composite, w["stem.weight"], 1))]
    for i, stride in enumerate([2, 1, 2, 1, 2, 1]):
        skips.append(lrelu(instance_norm(conv(skips[-1], w[f"encoder.{i}.conv.weight"], stride))))
    m1, m2, m4, m8 = mask, mask[::2, ::2], mask[::4, ::4], mask[::8, ::8]  # nearest neighbour

    x = conv(skips[6], w["neck.weight"], 1)
    x = local_dynamics(x, m8, w["local.linear.weight"], w["local.linear.bias"], k)
    x = rain(transposed(x.relu(), w["widen.conv.weight"], 1), m8, params(w, "widen.norm"))
    outputs = [m8, m4, m4, m2, m2, m1]
    for i, (stride, m) in enumerate(zip([1, 2, 1, 2, 1, 2], outputs, strict=True)):
        x = torch.cat([skips[6 - i], x])
        if i >= 4:
            x = global_dynamics(x, m2, params(w, f"decoder.{i}.dynamics"))
        x = rain(transposed(x.relu(), w[f"decoder.{i}.conv.weight"], stride), m, params(w, f"decoder.{i}.norm"))
    x = global_dynamics(torch.cat([skips[0], x]), m1, params(w, "last"))
    out = (transposed(x.relu(), w["out.weight"], 1) + w["out.bias"][:, None, None]).tanh()
    return out * mask + composite * (1 - mask)


def params(weights, prefix):
    return {name[len(prefix) + 1 :]: value for name, value in weights.items() if name.startswith(prefix + ".")}


def conv(x, weight, stride):
    return F.conv2d(x[None], weight, stride=stride, padding=1)[0]


def transposed(x, weight, stride):
    return F.conv_transpose2d(x[None], weight, stride=stride, padding=1)[0]


def instance_norm(x):
    mean = x.mean((1, 2), keepdim=True)
    var = ((x - mean) ** 2).mean((1, 2), keepdim=True)
    return (x - mean) / (var + EPS).sqrt()


def region_statistics(x, region):
    count = region.sum()
    mean = (x * region).sum((1, 2)) / (count + EPS)
    var = ((x - mean[:, None, None]) ** 2 * region).sum((1, 2)) / (count + EPS)
    return mean[:, None, None], (var + EPS).sqrt()[:, None, None]


def rain(x, mask, p):
    p = {name: value[:, None, None] for name, value in p.items()}
    mean_f, std_f = region_statistics(x, mask)
    mean_b, std_b = region_statistics(x, 1 - mask)
    back = (x - mean_b) / std_b * (1 + p["background_gamma"]) + p["background_beta"]
    moved = (x - mean_f) / std_f * std_b + mean_b
    fore = moved * (1 + p["foreground_gamma"]) + p["foreground_beta"]
    return fore * mask + back * (1 - mask)


def global_dynamics(x, mask, p):
    """Equation 6."""
    channels = len(x)
    pooled = x.mean((1, 2))
    hidden = torch.sigmoid(p["squeeze.weight"][:, :, 0, 0] @ pooled + p["squeeze.bias"])
    numbers = torch.zeros(2 * channels * channels, dtype=x.dtype)
    for row in range(2 * channels * channels):
        group = hidden[:2] if row < channels * channels else hidden[2:]
        numbers[row] = (p["kernels.weight"][row, :, 0, 0] * group).sum() + p["kernels.bias"][row]
    w_f = numbers[: channels * channels].reshape(channels, channels)
    w_b = numbers[channels * channels :].reshape(channels, channels)
    return torch.einsum("oi,ihw->ohw", w_f, x) * mask + torch.einsum("oi,ihw->ohw", w_b, x) * (1 - mask)


def local_dynamics(x, mask, weight, bias, k):
    """Equations 2 to 5."""
    out = x.clone()
    background = [x[:, i, j] for i, j in (mask == 0).nonzero()]
    for i, j in (mask == 1).nonzero():
        feature = x[:, i, j]
        reference = feature
        if background:
            similarity = torch.stack([(feature @ b) / (feature.norm() * b.norm()) for b in background])
            best = similarity.argsort(descending=True)[:k]
            shares = similarity[best].exp() / similarity[best].exp().sum()
            reference = sum(share * background[n] for share, n in zip(shares, best, strict=True))
        out[:, i, j] = weight @ torch.cat([reference, feature]) + bias
    return out
