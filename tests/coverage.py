"""Print the share of lines that the tests reach, by room, from slipcover's file.

python -m tests.coverage build/coverage.json
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rooms(measured: dict[str, dict[str, list[int]]]) -> dict[str, tuple[int, int]]:
    """Return how many lines were reached and how many there are, by folder.

    Args:
        measured: The lines of each file. A file that was imported has two names, of which one leads through the links
            in hdnet/; a line counts as reached if it is by either.
    """
    reached: dict[Path, set[int]] = defaultdict(set)
    lines: dict[Path, set[int]] = defaultdict(set)
    for name, found in measured.items():
        path = (ROOT / name).resolve()
        reached[path] |= set(found["executed_lines"])
        lines[path] |= {*found["executed_lines"], *found["missing_lines"]}
    totals: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for path in sorted(lines):
        for room in (str(path.parent.relative_to(ROOT)), "all"):
            totals[room] = (totals[room][0] + len(reached[path]), totals[room][1] + len(lines[path]))
    return totals


if __name__ == "__main__":
    for room, (reached, lines) in rooms(json.loads(Path(sys.argv[1]).read_text())["files"]).items():
        print(f"{room:32} {reached:6} of {lines:6} lines  {reached / lines:4.0%}")
