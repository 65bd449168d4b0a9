"""Relation distillation: the loss against its definition, the teachers, and what they leave untouched."""

import copy

import pytest
import torch
from torch.nn import functional

from hdnet.model.architectures.giftnet.config import GiftNetConfig
from hdnet.model.architectures.giftnet.network import GiftNet
from hdnet.model.training import distillation


def gift():
    torch.manual_seed(0)
    return GiftNet(GiftNetConfig(width=4))


def batch(size=64):
    generator = torch.Generator().manual_seed(1)
    composite, real = torch.rand(2, 2, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(2, 1, size, size)
    mask[0, :, 8:40, 16:41] = 1
    mask[1, :, 3:30, 20:60] = 1
    return composite, real, mask


def maps(channels, generator):
    sizes = [(n, 64 >> level) for level, n in enumerate(channels)]
    return [torch.rand(2, n, side, side, generator=generator) for n, side in sizes]


def relations(x, mask):
    """The definition, cell by cell: (foreground cells, background cells) of one image."""
    inside = functional.interpolate(mask[None], size=x.shape[1:], mode="bilinear", align_corners=True)[0, 0]
    step = x.shape[1] // 16
    fore, back = [], []
    for i in range(0, x.shape[1], step):
        for j in range(0, x.shape[2], step):
            cell, m = x[:, i : i + step, j : j + step], inside[i : i + step, j : j + step]
            if m.mean() > 0.5:
                fore.append((cell * m).sum((1, 2)) / m.sum())
            elif m.mean() < 0.5:
                back.append((cell * (1 - m)).sum((1, 2)) / (1 - m).sum())
    f, b = torch.stack(fore), torch.stack(back)
    return functional.cosine_similarity((f - b.mean(0))[:, None], (b - b.mean(0))[None], dim=2)


def test_the_loss_is_its_definition_whatever_the_numbers_of_channels():
    generator = torch.Generator().manual_seed(2)
    student, teacher = maps((3, 5, 8), generator), maps((2, 6, 7), generator)
    _, _, mask = batch()
    errors = [
        (relations(s[i], mask[i]) - relations(t[i], mask[i])).square().mean()
        for s, t in zip(student, teacher, strict=True)
        for i in range(2)
    ]
    found = distillation.relation_loss(student, teacher, mask)
    torch.testing.assert_close(found, torch.stack(errors).mean(), atol=1e-4, rtol=1e-3)


def test_a_real_image_has_nothing_to_learn_from_itself():
    network = GiftNet(GiftNetConfig(width=4, transformed="none"))
    composite, _, mask = batch()
    _, features = network.with_features(composite, mask)
    taught = distillation.Teacher(network)(composite, mask)
    assert abs(distillation.relation_loss(features, taught, mask).item()) < 1e-5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_one_kind_adds_nothing(value):
    network, (composite, real, mask) = gift(), batch()
    mask[1] = value
    both = loss_of(network, composite, real, mask)
    both.backward()
    alone = loss_of(network.eval(), composite[:1], real[:1], mask[:1])
    assert torch.isfinite(both) and alone > 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
    nothing = loss_of(network, composite, real, torch.full_like(mask, value))
    assert nothing.item() == 0


def loss_of(network, composite, real, mask):
    _, features = network.with_features(composite, mask)
    return distillation.relation_loss(features, distillation.Teacher(network)(real, mask), mask)


def test_images_without_both_kinds_do_not_count():
    network, (composite, real, mask) = gift().eval(), batch()
    mask[1] = 0
    alone = loss_of(network, composite[:1], real[:1], mask[:1])
    torch.testing.assert_close(loss_of(network, composite, real, mask), alone)


def test_flat_images_have_finite_gradients():
    network, (composite, real, mask) = gift().eval(), batch()
    loss_of(network, torch.ones_like(composite), torch.ones_like(real), mask).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", [distillation.Teacher, distillation.AveragingTeacher])
def test_no_gradient_reaches_the_teacher_and_no_statistic_notices_it(kind):
    network, (_, real, mask) = gift(), batch()
    before = copy.deepcopy(network.state_dict())
    real.requires_grad_()
    taught = kind(network)(real, mask)
    assert not any(x.requires_grad for x in taught)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    trained = network.encode(real, mask)  # the statistics are those of the batch, as the student's are
    assert all(torch.equal(a, b) for a, b in zip(taught, trained, strict=True))


def test_the_student_learns_from_the_relations():
    network, (composite, real, mask) = gift(), batch()
    loss_of(network, composite, real, mask).backward()
    reached = [name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {name.split(".")[0] for name in reached} == {"encoder", "code", "transformations"}


def test_an_average_follows_the_student_and_survives_a_checkpoint():
    student = gift()
    teacher = distillation.AveragingTeacher(student)
    start = teacher.state_dict()["share.bias"].clone()
    with torch.no_grad():
        student.share.bias += 1
    teacher.follow(student)
    torch.testing.assert_close(teacher.state_dict()["share.bias"], start + 0.001)
    other = distillation.AveragingTeacher(gift())
    other.load_state_dict(teacher.state_dict())
    assert torch.equal(other.state_dict()["share.bias"], teacher.state_dict()["share.bias"])
    assert distillation.Teacher(student).state_dict() == {}
