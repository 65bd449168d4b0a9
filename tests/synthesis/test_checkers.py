"""Readings of colour checkers, and the maps that are fitted to them."""

from pathlib import Path

import numpy as np
import pytest

from hdnet.model.synthesis import checkers
from hdnet.model.training.composites import illumination
from hdnet.transforms.errors import DatasetError

DATA = Path(__file__).parent.parent / "data"
PHOTOS = ("8D5U5531", "Canon1DsMkIII_0003")


def text(photo: str = PHOTOS[0]) -> str:
    return (DATA / f"checker_{photo}.csv").read_text()


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_fit_gives_the_published_maps(photo):
    maps = illumination.load()
    row = maps.names.index(photo)
    forward, reverse = checkers.fit(checkers.parse(text(photo), photo))
    np.testing.assert_allclose(forward, maps.to_standard[row], rtol=0, atol=1e-9)
    np.testing.assert_allclose(reverse, maps.from_standard[row], rtol=0, atol=1e-9)


def test_a_header_and_empty_lines_are_passed_over():
    lines = "R,G,B\n\n" + text().replace("\n", "\n\n")
    np.testing.assert_array_equal(checkers.parse(lines, "a.csv"), checkers.parse(text(), "a.csv"))


def from_top() -> str:
    lines = text().splitlines()
    return "\n".join(line for row in (18, 12, 6, 0) for line in lines[row : row + 6])


@pytest.mark.parametrize(
    "content, said",
    [
        ("", "0 lines"),
        ("\n".join(text().splitlines()[1:]), "23 lines of 3"),
        (text() + text(), "48 lines of 3"),
        (text().replace(",", ";"), "a line is not R, G, B"),
        ("R,G,B\n" + "\n".join(text().splitlines()[1:]), "a line is not R, G, B"),
        (text().replace("254.97", "254.97,1"), "a line is not R, G, B"),
        (text().replace("254.97142857142856", "255.5"), r"outside 0\.\.255"),
        (text().replace("254.97142857142856", "nan"), r"outside 0\.\.255"),
        (from_top(), "miss a checker's by 4. levels; are the patches in this order"),
    ],
)
def test_what_is_no_reading_is_refused_with_the_files_name(content, said):
    with pytest.raises(DatasetError, match=f"^a.csv: .*{said}.*24 lines of R, G, B"):
        checkers.parse(content, "a.csv")
