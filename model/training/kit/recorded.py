"""A training step as one CUDA graph."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hdnet.model.training.trainer import Trainer, learned, to_batch

log = logging.getLogger(__name__)

TRIALS = 4
"""Steps before the recording, in which libraries choose their kernels and optimizers make their state."""


class RecordedTrainer(Trainer):
    """A trainer whose step is recorded once on a GPU and then replayed, which saves the launch of a thousand kernels.

    A graph has fixed addresses: the batch, the rate and the average's share are written to where it reads them. On a
    CPU the same step runs as it is.

    Attributes:
        packed: The batch, (B,S,S,7) uint8 as `dataset.Packed`.
        share: How far the average moves towards the weights.
        loss: The last step's.
    """

    rate: Tensor
    packed: Tensor
    replay: Callable[[], None]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rate, self.share, self.loss = (torch.zeros((), device=self.device) for _ in range(3))

    def record(self, packed: Tensor) -> None:
        """Record the step with a batch like all that follow; at a rate of 0, so that it changes no weight."""
        self.packed, self.replay = packed.to(self.device), self._step
        self.network.train()
        if self.device.type != "cuda":
            return
        before = [value.detach().clone() for value in learned(self.network)]
        aside = torch.cuda.Stream(self.device)
        aside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(aside):
            for _ in range(TRIALS):
                self._step()
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step()
            self.replay = graph.replay
        except RuntimeError as error:
            log.warning("the step runs unrecorded, several times as long: %s", error)
        with torch.no_grad():  # statistics moved
            torch._foreach_copy_(learned(self.network), before)

    def advance(self, packed: Tensor, rate: float) -> Tensor:
        """Take a step with a batch at a rate; return its loss, which the next step overwrites."""
        if self.device.type == "cuda":  # else batches would queue up
            torch.cuda.current_stream(self.device).synchronize()
        self.packed.copy_(packed, non_blocking=True)
        self.step += 1
        self.rate.fill_(rate)
        self.share.fill_(self.forgetting())
        self.replay()
        return self.loss

    def descend(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Take one step of an optimizer that allows being recorded."""
        for group in optimizer.param_groups:
            group["capturable"] = True
        super().descend(loss, optimizer)

    def _step(self) -> None:
        sample = self.packed[..., :3], self.packed[..., 3:6], self.packed[..., 6] > 0
        self.loss.copy_(self.objective.step(to_batch(sample, self.device), self.descend))
        self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        if self.average is not None:
            gaps = torch._foreach_sub(learned(self.network), self.average)
            torch._foreach_mul_(gaps, self.share)
            torch._foreach_add_(self.average, gaps)
