"""What a run will cost, from the first headers and from work on a few pairs."""

import pytest
from PIL import Image

from hdnet.pipeline import cost, dry_run, trial
from hdnet.pipeline.cost import Rules
from hdnet.pipeline.local import machine
from hdnet.pipeline.settings import Settings
from hdnet.pipeline.steps.resume import Backlog
from hdnet.pipeline.trial import Pace
from hdnet.transforms.catalog import manifest_check
from hdnet.transforms.catalog.manifest import Pair
from tests.catalogs import write_weights

RULES = Rules(10**7)
PLAN = machine.Plan(2, 1, 10**9)


def peak_bytes(height, width):
    return 1000 * height * width


@pytest.fixture
def catalog(tmp_path):
    """Twenty pairs of 100 x 50, one of them a giant's header, one composite and one mask no images, one small mask."""
    for name in ("composites", "masks"):
        (tmp_path / name).mkdir()
        for i in range(20):
            Image.new("L", (2000, 1000) if i == 7 else (100, 50)).save(tmp_path / name / f"{i:02}.png")
    (tmp_path / "composites/03.png").write_bytes(b"<html>")
    (tmp_path / "masks/05.png").write_bytes(b"")
    Image.new("L", (50, 25)).save(tmp_path / "masks/09.png")
    return tmp_path


def test_a_rare_giant_does_not_divide_the_machine(catalog):
    found = cost.estimate(str(catalog), peak_bytes, RULES)
    assert found.images == 19
    assert found.mean_pixels == pytest.approx((18 * 5000 + 2_000_000) / 19)
    assert found.typical_bytes == cost.estimate(str(catalog), peak_bytes, Rules(5000)).typical_bytes


def test_what_headers_tell_is_named(catalog):
    found = cost.estimate(str(catalog), peak_bytes, RULES)
    assert [pair.id for pair in found.sound[:2]] == ["00", "01"] and found.looked_at == 20
    assert len(found.sound) == 17 and len(found.faults) == 3
    assert "03.png is not a JPEG" in found.faults[0] and "05.png is empty" in found.faults[1]
    assert "09.png is 50 x 25, its image 100 x 50: export" in found.faults[2]
    assert len(cost.estimate(str(catalog), peak_bytes, Rules(10**7, resize_mask=True)).faults) == 2


def test_a_description_says_how_much_and_how_long(catalog):
    info = manifest_check.check(str(catalog))
    found = cost.estimate(str(catalog), peak_bytes, RULES)
    backlog, pace = Backlog(pairs=20, up_to_date=10, to_do=10), Pace(4, 4, {"read": 600.0, "network": 3000.0}, ())
    said = str(dry_run.catalog(info, "gs://shop/out/images", found, backlog))
    assert "10 of 20 pairs" in said and "10 images, about 1.1 megapixels by the first 19" in said
    assert "gs://shop/out/images" in said
    said = str(dry_run.this_machine(found, PLAN, backlog, pace, "hdnet-lite"))
    assert "about 33 min" in said and "read 600.00, network 3000.00" in said
    assert "sizes of the first 20 pairs; 4 pairs worked on" in str(dry_run.checked(found, pace))
    assert "05.png is empty" in str(dry_run.wrong(found.faults))


def test_without_a_readable_header_nothing_is_promised(tmp_path):
    (tmp_path / "pairs.csv").write_text("id,composite,mask\na,no.png,no.png\n")
    info = manifest_check.check(str(tmp_path / "pairs.csv"))
    found = cost.estimate(str(tmp_path / "pairs.csv"), peak_bytes, RULES)
    assert found.faults[0] == f"{tmp_path}/no.png cannot be read: there is no such file: correct the name"
    assert "1 image of unknown size" in str(dry_run.catalog(info, "out", found, Backlog(1, 0, 1)))
    assert "an unknown time" in str(dry_run.this_machine(found, PLAN, Backlog(1, 0, 1), Pace(0, 0, {}, ()), "hdnet"))


def test_a_trial_does_all_the_work_and_leaves_nothing(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    mask = Image.new("L", (40, 30))
    mask.paste(255, (5, 5, 20, 20))
    mask.save(tmp_path / "m.png")
    settings = Settings(
        output=str(tmp_path / "out"), run_id="r", weights=str(write_weights(tmp_path / "w.safetensors"))
    )
    before = sorted(tmp_path.iterdir())
    pairs = [Pair(name, str(tmp_path / name), str(tmp_path / "m.png")) for name in ("a.jpg", "cut.jpg")]
    pace = trial.measure(settings, pairs, 1)
    assert (pace.pairs, pace.tried) == (1, 2) and min(pace.seconds.values()) > 0
    assert len(pace.faults) == 1 and "cut.jpg" in pace.faults[0]
    assert sorted(tmp_path.iterdir()) == before


def test_a_trial_finds_that_the_run_would_read_what_it_writes(tmp_path):
    settings = Settings(output=str(tmp_path), run_id="r", weights=str(write_weights(tmp_path / "w.safetensors")))
    composite = tmp_path / "images/a.png"
    pace = trial.measure(settings, [Pair("a", str(composite), str(tmp_path / "m.png"))], 1)
    assert pace.faults[0].startswith(f"{composite} is among the images this run writes")
