"""What a run will cost, from the first headers."""

import pytest
from PIL import Image

from hdnet.pipeline import cost, dry_run
from hdnet.pipeline.local import machine
from hdnet.pipeline.steps.resume import Backlog
from hdnet.transforms.catalog import manifest_check


def peak_bytes(height, width):
    return 1000 * height * width


@pytest.fixture
def catalog(tmp_path):
    """Twenty pairs of 100 x 50, one of them a giant's header, one composite and one mask missing."""
    for name in ("composites", "masks"):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("L", (2000, 1000) if i == 7 else (100, 50)).save(tmp_path / name / f"{i:02}.png")
    (tmp_path / "composites/03.png").write_bytes(b"<html>")
    (tmp_path / "masks/05.png").write_bytes(b"")
    return tmp_path


def test_a_rare_giant_does_not_divide_the_machine(catalog):
    found = cost.estimate(str(catalog), peak_bytes, max_pixels=10**7)
    assert found.images == 19
    assert found.mean_pixels == pytest.approx((18 * 5000 + 2_000_000) / 19)
    assert found.typical_bytes == cost.estimate(str(catalog), peak_bytes, max_pixels=5000).typical_bytes


def test_unreadable_files_are_named(catalog):
    found = cost.estimate(str(catalog), peak_bytes, max_pixels=10**7)
    assert len(found.faults) == 2
    assert "03.png is not a JPEG" in found.faults[0] and "05.png is empty" in found.faults[1]


def test_a_description_says_how_much_and_how_long(catalog):
    info = manifest_check.check(str(catalog))
    found = cost.estimate(str(catalog), peak_bytes, max_pixels=10**7)
    backlog, plan = Backlog(pairs=20, up_to_date=10, to_do=10), machine.Plan(2, 1, 10**9)
    said = str(dry_run.describe(info, "gs://shop/out/images", found, plan, backlog, per_megapixel=3600.0))
    assert "10 of 20 pairs" in said and "10 images, about 1.1 megapixels by the first 19" in said
    assert "about 33 min" in said and "gs://shop/out/images" in said and "05.png is empty" in said


def test_without_a_readable_header_nothing_is_promised(tmp_path):
    (tmp_path / "pairs.csv").write_text("id,composite,mask\na,no.png,no.png\n")
    info = manifest_check.check(str(tmp_path / "pairs.csv"))
    found = cost.estimate(str(tmp_path / "pairs.csv"), peak_bytes, max_pixels=10**7)
    plan, backlog = machine.Plan(2, 1, 10**9), Backlog(1, 0, 1)
    said = str(dry_run.describe(info, "out/images", found, plan, backlog, per_megapixel=1.0))
    assert "1 image of unknown size" in said and "an unknown time" in said
