"""Curves against the paper's sum of clipped terms."""

import numpy as np
import pytest
import torch

from hdnet.model.architectures.s2crnet import curves
from tests import s2crnet_oracle


def random_parameters(stages=2, seed=0):
    """Parameters (1,K,3,64) as networks give them: some negative, sums far from 0."""
    return torch.randn(1, stages, 3, 64, generator=torch.Generator().manual_seed(seed)) * 0.5 + 1


def plain(parameters, values):
    """What the equations make of values (3,N), stage by stage."""
    for stage in parameters[0].double().numpy():
        values = np.stack([s2crnet_oracle.curve(stage[c], values[c]) for c in range(3)])
        yield values


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_values_follow_the_equations(stages):
    parameters = random_parameters(stages)
    values = torch.rand(1, 3, 500) * 1.4 - 0.2  # below 0 and above 1 too
    expected = plain(parameters, values[0].double().numpy())
    for found, wanted in zip(curves.cascade(parameters, values), expected, strict=True):
        assert np.abs(found[0].numpy() - wanted).max() < 1e-6 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("levels", [256, 65536])
def test_tables_hold_what_the_equations_give_for_every_level(levels, seed):
    parameters = random_parameters(seed=seed)
    ramp = np.tile(np.arange(levels) / (levels - 1), (3, 1))
    expected = list(plain(parameters, ramp))[-1]
    table = curves.tables(parameters.double(), levels)[-1][0].numpy()
    assert np.abs(table - expected).max() < 1e-12
    if levels == 256:
        rounded, wanted = (np.rint(np.clip(x, 0, 1) * 255) for x in (table, expected))
        assert np.array_equal(rounded, wanted)


@pytest.mark.parametrize("value", [1.0, -0.3, 1e-20])
def test_equal_parameters_are_the_identity(value):
    ramp = torch.arange(256) / 255
    for table in curves.tables(torch.full((1, 2, 3, 64), value), 256):
        assert torch.allclose(table, ramp.expand(1, 3, 256), atol=1e-6)


def test_ends_stay_and_scale_does_not_matter():
    parameters = random_parameters(4)
    for table, scaled in zip(curves.tables(parameters, 256), curves.tables(-8 * parameters, 256), strict=True):
        assert torch.equal(table[..., [0, -1]], torch.tensor([0.0, 1.0]).expand(1, 3, 2))
        assert torch.equal(table, scaled)


@pytest.mark.parametrize("cancelling", [[0.0, 0.0], [1.0, -1.0], [1.0, -1.0 + 2**-24]])
def test_parameters_without_a_sum_are_the_identity_and_have_gradients(cancelling):
    parameters = torch.tensor(cancelling).repeat(1, 2, 3, 32).requires_grad_()
    table = curves.tables(parameters, 256)[-1]
    assert torch.allclose(table, torch.arange(256) / 255, atol=1e-6)
    table.sum().backward()
    assert parameters.grad is not None and torch.isfinite(parameters.grad).all()


def test_a_nan_spreads():
    parameters = torch.full((1, 2, 3, 64), torch.nan)
    assert all(table.isnan().all() for table in curves.tables(parameters, 256))


def test_a_small_sum_is_finite():
    parameters = torch.ones(1, 2, 3, 64)
    parameters[..., 0] = -63 + 1e-3
    assert torch.isfinite(torch.stack(curves.tables(parameters, 256))).all()


def test_gradients_are_right():
    parameters = random_parameters().double().requires_grad_()
    values = torch.rand(1, 3, 20, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, v: curves.cascade(p, v)[-1], (parameters, values))
