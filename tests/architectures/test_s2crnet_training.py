"""What S2CRNet is trained by: its losses, its discriminator, and what a checkpoint holds of them."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch.utils._pytree import tree_leaves

from hdnet.model import architectures
from hdnet.model.architectures.base import Batch
from hdnet.model.architectures.s2crnet.discriminator import Discriminator
from hdnet.model.architectures.s2crnet.objective import S2CRNetObjective
from hdnet.model.training import checkpoint, train
from hdnet.model.training.config import TrainConfig
from hdnet.model.training.trainer import Trainer, to_batch
from hdnet.model.weights import weights_file
from hdnet.transforms.errors import HarmonizeError
from tests.samples import write_iharmony4

CPU = torch.device("cpu")
SIZE = 80


def batches(count=1):
    """Samples of two random images, the second of which has an empty mask."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, SIZE, SIZE, 3)
    for _ in range(count):
        images = [torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator) for _ in range(2)]
        mask = torch.zeros(shape[:3], dtype=torch.bool)
        mask[0, 10:40, 20:70] = True
        yield images[0], images[1], mask


def trainer(**fields):
    torch.manual_seed(0)
    config = TrainConfig.of("s2crnet", **{"data": "", "size": SIZE, **fields})
    network = architectures.build("s2crnet", config.network)
    objective = network.architecture.objective(config, network, CPU, lambda module: module)
    assert isinstance(objective, S2CRNetObjective)
    return Trainer(config, network, objective, 1, CPU), objective


def tensors(trained: Trainer):
    """Return all that training changes: weights, their average, and what a checkpoint holds of the objective."""
    found = tree_leaves([trained.network.state_dict(), trained.average, trained.objective.state_dict()])
    return [value for value in found if isinstance(value, torch.Tensor)]


def take_losses(objective, batch: Batch):
    """Return the losses that a step descends, without descending them."""
    losses = []
    objective.step(batch, lambda loss, optimizer: losses.append((loss.detach(), optimizer)))
    return losses


def test_the_recipe_is_the_papers():
    config = TrainConfig.of("s2crnet", data="", epochs=3)
    assert (config.lr, config.batch, config.epochs, config.adversarial, config.milestones) == (2e-4, 8, 3, 0.01, ())
    _, objective = trainer()
    assert type(objective.optimizer) is torch.optim.AdamW and objective.optimizer.defaults["weight_decay"] == 0.01
    assert type(objective.critic_optimizer) is torch.optim.RMSprop


def test_the_discriminator_is_the_papers():
    critic = Discriminator()
    assert sum(p.numel() for p in critic.parameters()) == 4_316_545
    assert critic(torch.rand(1, 3, 256, 256)).shape == (1, 1, 12, 12)
    assert critic(torch.rand(2, 3, 79, 79)).shape == (2, 1, 1, 1)


def test_the_losses_are_the_papers():
    run, objective = trainer(network={"stages": 3})
    batch = to_batch(next(batches()), CPU)
    (loss, optimizer), (critic_loss, critic_optimizer) = take_losses(objective, batch)
    assert optimizer is objective.optimizer and critic_optimizer is objective.critic_optimizer
    real, critic = (batch.real + 1) / 2, objective.critic
    assert critic is not None
    with torch.no_grad():
        stages = run.network.render(batch.composite, batch.mask)
        area = batch.mask[0].sum()
        expected = sum(((stage - real)[0] * batch.mask[0]).abs().sum() / area / 2 for stage in stages)  # of two images
        fooled, fake, true = ((critic(x) - y) ** 2 for x, y in ((stages[-1], 1), (stages[-1], 0), (real, 1)))
    assert torch.isclose(loss, expected + 0.01 * fooled.mean(), rtol=1e-4)
    assert torch.isclose(critic_loss, fake.mean() + true.mean(), rtol=1e-4)


def test_logarithms_of_errors_are_an_option():
    _, plain = trainer(adversarial=0.0)
    _, logarithmic = trainer(adversarial=0.0, log_loss=0.01)
    batch = to_batch(next(batches()), CPU)
    assert len(take_losses(plain, batch)) == 1
    assert take_losses(plain, batch)[0][0] > take_losses(logarithmic, batch)[0][0]


def test_each_loss_moves_its_own_network():
    run, objective = trainer()
    assert objective.critic is not None
    taken = []

    def descend(loss, optimizer):
        loss.backward()
        taken.append([any(p.grad is not None for p in net.parameters()) for net in (run.network, objective.critic)])
        run.network.zero_grad()

    objective.step(to_batch(next(batches()), CPU), descend)
    assert taken == [[True, False], [False, True]]


LITE0 = {"backbone": "efficientnet-lite0", "thumbnail": 32, "normalise": True, "joint": 8}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"adversarial": 0.0, "ema": 0.9, "precision": "bfloat16", "clip": 1.0},
        {"adversarial": 0.0, "ema": 0.9, "precision": "bfloat16", "network": LITE0},
    ],
)
def test_a_resumed_run_is_bit_equal(fields, tmp_path):
    samples = list(batches(3))
    whole, _ = trainer(**fields)
    whole.run(samples)
    begun, _ = trainer(**fields)
    begun.run(samples[:2])
    checkpoint.save(tmp_path / "last.pt", begun, checkpoint.Progress())
    torch.manual_seed(1)
    resumed, objective = trainer(**fields)
    checkpoint.restore(tmp_path / "last.pt", resumed)
    resumed.run(samples[2:])
    assert all(torch.equal(one, two) for one, two in zip(tensors(resumed), tensors(whole), strict=True))
    assert ("critic" in objective.state_dict()) == (not fields)


def test_it_learns():
    run, objective = trainer(adversarial=0.0, lr=1e-3, network={"start": "identity"})
    batch = next(batches())
    losses = []
    run.run([(batch[0] // 2, batch[0], batch[2])] * 12, [lambda _, loss: losses.append(loss.item())])
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("fields", [{"stages": 4}, LITE0])
def test_training_can_begin_with_the_identity(fields):
    network = architectures.build("s2crnet", {**fields, "start": "identity"})
    batch = to_batch(next(batches()), CPU)
    assert torch.allclose(network(batch.composite, batch.mask), batch.composite, atol=1e-5)


def test_the_command_begins_with_the_papers_recipe(tmp_path):
    data = write_iharmony4(tmp_path / "data", photos=2)
    options = ["--data", data, "--output", tmp_path / "run", "--arch", "s2crnet", "--size", SIZE, "--epochs", 1]
    options += ["--batch", 2, "--workers", 0, "--val-fraction", 0]
    result = CliRunner().invoke(train.main, [str(option) for option in options])
    assert result.exit_code == 0, result.output
    recipe = json.loads((tmp_path / "run/config.json").read_text())
    assert (recipe["lr"], recipe["adversarial"], recipe["batch"], recipe["seed"]) == (2e-4, 0.01, 2, 2333)
    assert weights_file.load_network(tmp_path / "run/best.safetensors").architecture.name == "s2crnet"


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(HarmonizeError, match="labels"):
        trainer(network={"semantic": True})
    with pytest.raises(HarmonizeError, match="at least 79: 64"):
        trainer(size=64)
