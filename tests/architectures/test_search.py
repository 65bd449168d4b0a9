"""The search against comparing all with all."""

import pytest
import torch

from hdnet.model.architectures.hdnet import kernels, search
from hdnet.model.architectures.hdnet.passes import Passes

pytestmark = pytest.mark.usefixtures("passes")


def photo_like(count):
    """Rows that fill few dimensions densely, as a photograph's features do."""
    return torch.randn(count, 3) @ torch.randn(3, 12) + 0.05 * torch.randn(count, 12)


@pytest.mark.parametrize("k", [1, 3, 100])
@pytest.mark.parametrize("unit", [True, False])
def test_it_finds_what_comparing_all_finds(monkeypatch, k, unit):
    torch.manual_seed(0)
    rows = photo_like(1500)
    rows = torch.nn.functional.normalize(rows, dim=1) if unit else rows
    queries, keys = rows[:401], rows[401:]
    monkeypatch.setattr(search, "SMALL", 0)
    found = search.nearest(queries, keys, k)
    products = (queries[:, None] * keys[found]).sum(2)
    torch.testing.assert_close(products, (queries @ keys.T).topk(k).values, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == k for row in found.tolist())


def test_it_leaves_most_pairs_out(monkeypatch):
    monkeypatch.setattr(kernels, "installed", Passes)
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(photo_like(9000), dim=1)
    seen, best = [], search.Blocks.best

    def count(blocks, queries, chosen, k):
        seen.append(len(queries) * len(chosen) * search.BLOCK)
        return best(blocks, queries, chosen, k)

    monkeypatch.setattr(search.Blocks, "best", count)
    search.nearest(rows[:1000], rows[1000:], 1)
    assert sum(seen) < 0.3 * 1000 * 8000


def test_float64_is_searched_too(monkeypatch):
    monkeypatch.setattr(search, "SMALL", 0)
    torch.manual_seed(0)
    rows = photo_like(1500).double()
    assert torch.equal(search.nearest(rows[:401], rows[401:], 3), (rows[:401] @ rows[401:].T).topk(3).indices)


@pytest.mark.parametrize("same", [0.0, 1.0])
def test_equal_and_zero_keys(monkeypatch, same):
    monkeypatch.setattr(search, "SMALL", 0)
    found = search.nearest(torch.randn(5, 4), torch.full((200, 4), same), 2)
    assert found.shape == (5, 2) and (found[:, 0] != found[:, 1]).all()


def test_no_queries():
    assert search.nearest(torch.empty(0, 4), torch.randn(9, 4), 2).shape == (0, 2)
