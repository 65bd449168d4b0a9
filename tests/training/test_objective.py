"""Training with relations distilled: GiftNet by default, and any network with encoder features."""

import numpy as np
import pytest
import torch

from hdnet.model import architectures
from hdnet.model.architectures.base import Batch
from hdnet.model.architectures.giftnet import CHOICES
from hdnet.model.harmonizer import Harmonizer
from hdnet.model.training import run
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.trainer import Trainer
from hdnet.model.weights import weights_file
from hdnet.transforms.errors import HarmonizeError, WeightsError
from tests.samples import write_iharmony4

CPU = torch.device("cpu")


def recipe(data, **fields):
    tiny = {"network": {"width": 2}, "size": 32, "epochs": 2, "batch": 2, "workers": 0, "checkpoint_steps": 4}
    wanted = {"arch": "giftnet-lite", "data": str(data), **tiny, "val_fraction": 0.0, **fields}
    return TrainConfig.of(**wanted)


def train(config, output, **options):
    return weights_file.load_network(run.train(config, output, device=CPU, **options)).state_dict()


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


def trained(config):
    torch.manual_seed(0)
    network = architectures.build(config.arch, config.network)
    return network, network.architecture.objective(config, network, CPU, lambda module: module)


def step(config):
    """The loss of one step on a batch whose composite differs from the real image."""
    network, objective = trained(config)
    generator = torch.Generator().manual_seed(0)
    composite, real = torch.rand(2, 2, 3, 32, 32, generator=generator) * 2 - 1
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:24, :16] = 1
    return objective.step(Batch(composite, mask, real), lambda loss, optimizer: loss.backward()).item(), network


@pytest.mark.parametrize("arch", ["giftnet-lite", "hdnet-lite"])
@pytest.mark.parametrize("kind", ["own", "average"])
def test_relations_are_a_part_of_the_loss(arch, kind):
    off, _ = step(recipe("", arch=arch, distill="off"))
    light, heavy = (step(recipe("", arch=arch, distill=kind, distill_weight=w))[0] for w in (0.1, 0.2))
    assert light > off and heavy - off == pytest.approx(2 * (light - off), rel=1e-3)


def test_giftnet_is_distilled_unless_told_otherwise_and_hdnet_only_if_told():
    assert step(recipe(""))[0] == step(recipe("", distill="own"))[0] != step(recipe("", distill="off"))[0]
    hdnet = recipe("", arch="hdnet-lite")
    assert step(hdnet)[0] == step(recipe("", arch="hdnet-lite", distill="off"))[0]


def test_the_main_loss_is_issams():
    loss, network = step(recipe("", distill="off"))
    _, objective = trained(recipe("", distill="off"))
    result, real = torch.rand(2, 2, 3, 16, 16)
    mask = torch.zeros(2, 1, 16, 16)
    mask[1] = 1
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    squares = (((result - real) / 2 / deviation) ** 2).sum((1, 2, 3))
    expected = squares / 3 / torch.tensor([100.0, 256.0])
    torch.testing.assert_close(objective.errors(result, Batch(result, mask, real)), expected)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters()) and loss > 0


@pytest.mark.parametrize(
    "fields", [{}, {"distill": "average", "ema": 0.9}, {"arch": "hdnet-lite", "distill": "average"}]
)
def test_a_resumed_run_gives_the_weights_of_an_unbroken_one(tmp_path, monkeypatch, fields):
    config = recipe(write_iharmony4(tmp_path / "data"), **fields)
    whole = train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        steps = Trainer.descend

        def breaking(self, *arguments):
            if self.step == 6:
                raise InterruptedError
            steps(self, *arguments)

        patch.setattr(Trainer, "descend", breaking)
        with pytest.raises(InterruptedError):
            train(config, tmp_path / "broken")
    assert same(whole, train(config, tmp_path / "broken", resume=True))


def test_other_weights_can_teach_and_their_kind_is_checked(tmp_path):
    data = write_iharmony4(tmp_path / "data", photos=2)
    teacher = run.train(recipe(data, epochs=1, distill="off"), tmp_path / "teacher", device=CPU)
    before = teacher.read_bytes()
    best = run.train(recipe(data, epochs=1, distill=str(teacher)), tmp_path / "student", device=CPU)
    assert teacher.read_bytes() == before and weights_file.read_header(best)["recipe"]["distill"] == teacher.name
    with pytest.raises(WeightsError, match="no such file"):
        run.train(recipe(data, distill="mine"), tmp_path / "other", device=CPU)
    with pytest.raises(HarmonizeError, match="distilled into s2crnet: it has no encoder features"):
        run.train(recipe(data, arch="s2crnet", network={}, distill="own"), tmp_path / "other", device=CPU)


def test_weights_say_what_is_ours_and_harmonize_any_size(tmp_path):
    best = run.train(recipe(write_iharmony4(tmp_path / "data", photos=2), epochs=1), tmp_path / "run", device=CPU)
    header = weights_file.read_header(best)
    assert header["architecture"] == "giftnet-lite" and tuple(header["choices"]) == CHOICES
    harmonizer = Harmonizer.load(best, device="cpu")
    for height, width in ((1, 1), (7, 9), (33, 70)):
        composite = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[height // 2 :, : 1 + width // 2] = 255
        result = harmonizer(composite, mask)
        assert result.shape == composite.shape and np.array_equal(result[mask == 0], composite[mask == 0])
