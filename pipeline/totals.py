"""How many pairs of a run were done, failed or were left out, and whether that is a failure of the run."""

import dataclasses
from collections.abc import Mapping


def novelty(failed: int, new: int) -> str:
    """Say how many failures are new, as in "2 pairs failed (1 of them new)"."""
    if not new:
        return "known from earlier runs"
    if new == failed:
        return "new" if new == 1 else "all new"
    return f"{new:,} of them new"


@dataclasses.dataclass(frozen=True)
class Totals:
    """A finished run in numbers of pairs.

    Attributes:
        done: Pairs whose image was made since the run was started.
        failed: Pairs that became a failure row.
        new: Those of them that no earlier run has had.
        skipped: Pairs that were up to date when it was started.
    """

    done: int
    failed: int
    new: int
    skipped: int

    @classmethod
    def of(cls, content: Mapping[str, int]) -> "Totals":
        """Return the totals that runs/<run>.json holds among others."""
        return cls(content["done"], content["failed"], content["new"], content["skipped"])

    @property
    def failure_rate(self) -> float:
        """Share of the pairs that failed, among all that the run took up, those that were up to date among them."""
        return self.failed / max(1, self.done + self.failed + self.skipped)

    @property
    def all_failed(self) -> bool:
        """Whether every pair failed, and none was up to date."""
        return self.failed > 0 and not self.done + self.skipped

    def too_many_failures(self, max_failure_rate: float) -> str:
        """Say why the run has too many failures; "" where it does not."""
        if self.failure_rate > max_failure_rate:
            return f"{self.failure_rate:.1%} of the pairs failed, more than {max_failure_rate:.1%}"
        return "every pair failed" if self.all_failed else ""
