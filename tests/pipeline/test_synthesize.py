"""The synthesis job, end to end, on the local runner."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pyarrow import dataset

from hdnet.model.training import train
from hdnet.model.training.composites import illumination, looks
from hdnet.pipeline.synthesis import layout
from hdnet.pipeline.synthesis.job import write_lists
from hdnet.pipeline.synthesis.layout import SynthesisLayout
from hdnet.pipeline.synthesize import main
from hdnet.transforms.catalog import layouts
from tests.catalogs import BROKEN, write_catalog

DATA = Path(__file__).parent.parent / "data"
COMPOSITES, MASKS, PHOTOS = "synthetic/composite_images", "synthetic/masks", "synthetic/real_images"


def synthesize(catalog, output, *options):
    arguments = ["--input", catalog, "--output", output, "--workers", 1, "--run-id", "one", "--max-pixels", 50_000]
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, *options)])


def table(folder):
    return dataset.dataset(folder, partitioning="hive").to_table().to_pylist() if folder.exists() else []


def images(output):
    return {path.relative_to(output): path.read_bytes() for path in (output / "synthetic").rglob("*.*")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three composites of each of 20 good photos and 8 broken ones, as PNG."""
    root = tmp_path_factory.mktemp("made")
    catalog = write_catalog(root / "in", good=20, broken=len(BROKEN))
    result = synthesize(catalog, root / "out", "--per-photo", 3, "--format", "png", "--test-fraction", 0.3)
    return catalog, root / "out", result


def test_every_composite_is_in_exactly_one_table(made):
    _, output, result = made
    assert result.exit_code == 0, result.output
    rows, failures = table(output / "metrics"), table(output / "failures")
    assert len({row["id"] for row in [*rows, *failures]}) == 3 * 28 and len(rows) + len(failures) == 3 * 28
    kinds = {row["id"].removeprefix("bad/").rsplit("-", 1)[0]: row["error"] for row in failures}
    # A broken composite does no harm where there is a reference, and a broken reference does.
    assert kinds == {"no-mask": "StorageError", "mask-size": "ShapeError", "reference-size": "ShapeError"}


def test_rows_say_how_a_composite_was_made(made):
    rows = [row for row in table(made[1] / "metrics")]
    names = {split: illumination.load(split=split).names for split in ("train", "test")}
    for row in rows:
        assert row["method"] in ("illumination", "camera") and row["change"] > 0 and row["rejected"] >= 0
        assert (row["illumination_to"] in names[row["split"]]) == (row["method"] == "illumination")
        assert Path(row["output"]).exists() and Path(row["real"]).exists() and Path(row["region"]).exists()
        assert row["shop"].startswith("s") and row["flags"] == "" and row["delta_e"] is not None
    assert {row["split"] for row in rows} == {"train", "test"}


def test_the_output_is_a_data_set_whose_composites_differ_in_the_foreground_alone(made):
    _, output, _ = made
    pairs = {split: layouts.read_iharmony4(output, split) for split in ("train", "test")}
    assert len(pairs["train"]) + len(pairs["test"]) == len(table(output / "metrics"))
    assert not {pair.reference for pair in pairs["train"]} & {pair.reference for pair in pairs["test"]}
    assert pairs["test"] == layouts.read_iharmony4(output, "test", ["synthetic"])
    for pair in pairs["train"]:
        composite, real, mask = (
            np.asarray(Image.open(path)) for path in (pair.composite, str(pair.reference), pair.mask)
        )
        changed = (composite != real).any(axis=2)
        assert changed.any() and not changed[mask == 0].any() and set(np.unique(mask)) == {0, 255}


def test_two_workers_make_the_same_files_and_another_seed_makes_others(made, tmp_path):
    catalog, output, _ = made
    options = ["--per-photo", 3, "--format", "png", "--test-fraction", 0.3]
    assert synthesize(catalog, tmp_path / "two", *options, "--workers", 2).exit_code == 0
    assert images(tmp_path / "two") == images(output)
    assert synthesize(catalog, tmp_path / "other", *options, "--seed", 1, "--limit", 4).exit_code == 0
    other = {path: data for path, data in images(tmp_path / "other").items() if path.parent.name == "composite_images"}
    assert other and not any(data == images(output).get(path) for path, data in other.items())


def test_a_run_goes_on_where_it_was_cut_short(made, tmp_path):
    catalog, output, _ = made
    options = ["--per-photo", 3, "--format", "png", "--test-fraction", 0.3]
    whole = images(output)
    lost = sorted(path for path in whole if path.parent.name == "composite_images")[::5]
    for path in lost:
        (output / path).unlink()
    (output / "runs/one.json").unlink()
    assert synthesize(catalog, output, *options).exit_code == 0
    assert images(output) == whole
    totals = json.loads((output / "runs/one.json").read_text())["totals"]
    assert (totals["done"], totals["images"]) == (len(lost), len(table(output / "metrics")))
    again = synthesize(catalog, output, *options, "--run-id", "two")
    assert json.loads((output / "runs/two.json").read_text())["totals"]["skipped"] == totals["images"], again.output


def test_own_checkers_take_the_place_of_the_maps(tmp_path):
    catalog = write_catalog(tmp_path / "in", good=2, broken=0)
    for name in ("8D5U5531", "Canon1DsMkIII_0003"):
        (tmp_path / "readings").mkdir(exist_ok=True)
        (tmp_path / f"readings/{name}.csv").write_text((DATA / f"checker_{name}.csv").read_text())
    result = synthesize(catalog, tmp_path / "out", "--checkers", tmp_path / "readings", "--per-photo", 2)
    assert result.exit_code == 0, result.output
    used = {row["illumination_from"] for row in table(tmp_path / "out/metrics")} - {None}
    assert used <= {"8D5U5531", "Canon1DsMkIII_0003"}
    (tmp_path / "readings/8D5U5531.csv").unlink()
    result = synthesize(catalog, tmp_path / "other", "--checkers", tmp_path / "readings")
    assert result.exit_code == 1 and "1 CSV files; a change of illumination needs readings of two" in result.output


def write_label_map(folder):
    """Write a photo, a label map of two objects, and a row for each of them, of which one has no id in the list."""
    folder.mkdir()
    photo, labels = np.random.default_rng(0).integers(60, 180, (24, 40, 3), np.uint8), np.zeros((24, 40), np.uint8)
    labels[4:20, 4:16], labels[4:20, 24:36] = 1, 2
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(labels).save(folder / "labels.png")
    rows = [f"{name},photo.png,labels.png,{value}\n" for name, value in (("left", 1), ("right", 2))]
    (folder / "pairs.csv").write_text("id,composite,mask,mask_value\n" + "".join(rows))
    (folder / "ids.csv").write_text("id\nright_1\nright_2\n")
    return folder / "pairs.csv"


def test_two_masks_in_one_file_are_two_regions(tmp_path):
    catalog, output = write_label_map(tmp_path / "in"), tmp_path / "out"
    result = synthesize(catalog, output, "--per-photo", 2, "--format", "png", "--test-fraction", 0)
    assert result.exit_code == 0, result.output
    assert len(list((output / MASKS).iterdir())) == 2 and len(list((output / PHOTOS).iterdir())) == 1
    pairs = layouts.read_iharmony4(output, "train")
    assert len(pairs) == 4
    for pair in pairs:
        composite, real, mask = (
            np.asarray(Image.open(path)) for path in (pair.composite, str(pair.reference), pair.mask)
        )
        assert not (composite != real).any(axis=2)[mask == 0].any()


def test_pairs_are_chosen_by_id_and_a_dry_run_writes_nothing(tmp_path):
    catalog, output = write_label_map(tmp_path / "in"), tmp_path / "out"
    options = ("--per-photo", 2, "--ids", tmp_path / "in/ids.csv", "--dry-run")
    result = synthesize(catalog, output, *options)
    assert result.exit_code == 0 and not output.exists(), result.output
    assert f"would write  {output}/synthetic, and" in result.output and "would do     2 images" in result.output
    result = synthesize(catalog, output, *options[:-1])
    assert result.exit_code == 0 and "recolouring seconds" in result.output and "network" not in result.output
    assert {row["id"] for row in table(output / "metrics")} == {"right_1", "right_2"}


def test_all_methods_take_part_and_say_what_they_drew(tmp_path):
    catalog = write_catalog(tmp_path / "in", good=12, broken=0)
    np.savez(tmp_path / "looks.npz", names=np.array(["fade"]), lut=looks.IDENTITY[None] * np.float32(0.5))
    options: list[object] = [word for name in ("lab", "histogram", "looks", "camera") for word in ("--method", name)]
    options += ["--looks", tmp_path / "looks.npz", "--per-photo", "3", "--format", "png"]
    result = synthesize(catalog, tmp_path / "one", *options)
    assert result.exit_code == 0, result.output
    drawn = {row["method"]: json.loads(row["parameters"] or "{}") for row in table(tmp_path / "one/metrics")}
    assert {"lab", "looks", "camera"} <= set(drawn) and drawn["looks"]["look"] == "fade" and "donor" in drawn["lab"]
    assert synthesize(catalog, tmp_path / "two", *options, "--workers", 2, "--limit", 12).exit_code == 0
    assert images(tmp_path / "two") == images(tmp_path / "one")
    np.savez(tmp_path / "looks.npz", names=np.array(["fade"]), lut=looks.IDENTITY[None] * np.float32(0.6))
    again = synthesize(catalog, tmp_path / "one", *options, "--run-id", "two", "--dry-run")
    assert "up to date   0 of 36 pairs" in again.output, again.output


def test_statistics_need_two_photos_to_take_them_from(tmp_path):
    result = synthesize(write_catalog(tmp_path / "in", good=1, broken=0), tmp_path / "out", "--method", "lab")
    assert result.exit_code == 1 and "of which 1 can be used: give at least two photos" in result.output


def test_a_photo_that_cannot_be_read_stops_the_start_and_a_missing_one_does_not(tmp_path):
    catalog = write_catalog(tmp_path / "in", good=3, broken=0)
    mask = next((tmp_path / "in/masks").iterdir())
    mask.unlink()
    result = synthesize(catalog, tmp_path / "out", "--method", "lab", "--dry-run")
    assert result.exit_code == 0 and f"{mask} cannot be read: there is no such file" in result.output, result.output
    mask.mkdir()
    result = synthesize(catalog, tmp_path / "out", "--method", "lab", "--dry-run")
    assert result.exit_code == 1 and f"Error: {mask} cannot be read: it is a folder" in result.output


def test_a_method_without_a_share_counts_once(tmp_path):
    named = ["--input", "a", "--output", "b", "--method", "camera", "--method", "lab=0.5"]
    assert main.make_context("", named).params["methods"] == (("illumination", 0.0), ("camera", 1.0), ("lab", 0.5))


def test_training_takes_the_pairs(made, tmp_path):
    options = ["--data", made[1], "--arch", "hdnet-lite", "--network", "width=1", "--size", "16", "--epochs", "1"]
    result = CliRunner().invoke(train.main, [*map(str, options), "--workers", "0", "--output", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "option, said",
    [
        ("tint", "methods are illumination, camera"),
        ("camera=-1", "shares of 0 and more"),
        ("camera=x", "NAME[=SHARE]"),
        ("looks", "--method looks and --looks belong together"),
    ],
)
def test_unknown_methods_are_bad_usage(tmp_path, option, said):
    result = synthesize(tmp_path, tmp_path / "out", "--method", option)
    assert result.exit_code == 2 and said in result.output


def test_lists_name_only_what_is_whole(tmp_path):
    place = SynthesisLayout(str(tmp_path), "one")
    photo = layout.photo_name("gs://shop/My photo (1).JPG", "ab" * 32)
    assert photo == "My-photo-1-ababababab" and layout.photo_name("/x/äöü.png", "ab" * 32) == "photo-ababababab"
    for name in (f"{COMPOSITES}/{photo}_cd_1.jpg", f"{COMPOSITES}/{photo}_ef_1.jpg", f"{COMPOSITES}/odd.jpg",
                 f"{MASKS}/{photo}_cd.png", f"{PHOTOS}/{photo}.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_lists(place, 0.5)
    assert (tmp_path / "IHD_train.txt").read_text() == f"{COMPOSITES}/{photo}_cd_1.jpg\n"
    assert (tmp_path / "IHD_test.txt").read_text() == ""
    write_lists(place, 1.0)
    assert (tmp_path / "synthetic/synthetic_test.txt").read_text() == f"{COMPOSITES}/{photo}_cd_1.jpg\n"
