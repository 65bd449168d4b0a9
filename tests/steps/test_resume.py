"""What is done again on the next night, and what is not."""

import copy
import csv
import json
import os
import re
import shutil
import time

import pytest
from PIL import Image
from pyarrow import parquet

from hdnet.model import architectures
from hdnet.model.weights import weights_file
from hdnet.pipeline import status
from tests.catalogs import write_catalog, write_weights
from tests.pipeline.test_pipeline import harmonize, table


class Shop:
    """A catalog of four pairs and a broken one, and its output."""

    def __init__(self, root):
        self.root = root
        root.mkdir(exist_ok=True)
        self.weights = write_weights(root / "tiny.safetensors")
        self.manifest = write_catalog(root / "in", good=4, broken=1)
        self.number = 0
        self.first: tuple[set[str], dict[str, int]] = (set(), {})

    def run(self, *options, name=None, code=0):
        """Run once more and return the ids in the run's table and the totals."""
        self.number += 1
        name = name or f"night-{self.number}"
        base = ["--input", self.manifest, "--output", self.root / "out", "--weights", self.weights, "--workers", 1]
        result = harmonize(*base, "--run-id", name, "--no-report", *options)
        assert result.exit_code == code, (result.output, result.exception)
        totals = json.loads((self.root / f"out/runs/{name}.json").read_text())["totals"]
        rows = [row for row in table(self.root / "out/metrics") if row["run_id"] == name]
        return {row["id"].removeprefix("good/") for row in rows}, totals

    def dry(self, *options):
        """Return the lines of a dry run by name."""
        base = ["--input", self.manifest, "--output", self.root / "out", "--weights", self.weights, "--dry-run"]
        result = harmonize(*base, *options)
        assert result.exit_code == 0, (result.output, result.exception)
        return {line[:13].strip(): line[13:] for line in result.stdout.splitlines()}

    def composite(self, number):
        return next((self.root / "in/composites").glob(f"{number}.*"))


@pytest.fixture(scope="module")
def first_night(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("shop") / "now")
    shop.first = shop.run()
    shutil.copytree(shop.root, shop.root.with_name("then"))
    return shop


@pytest.fixture
def shop(first_night):
    """The shop as it was after its first night, including the times of change."""
    shutil.rmtree(first_night.root)
    shutil.copytree(first_night.root.with_name("then"), first_night.root)
    return copy.copy(first_night)


ALL = {"0000", "0001", "0002", "0003"}


def test_the_second_night_does_nothing_but_what_failed(shop):
    assert shop.first[0] == ALL and shop.first[1]["failed"] == 1
    done, totals = shop.run()
    assert done == set()
    assert (totals["done"], totals["skipped"], totals["failed"], totals["removed"]) == (0, 4, 1, 0)


def test_what_is_done_is_known_from_another_folder_too(shop, monkeypatch):
    monkeypatch.chdir(shop.root)
    assert shop.run("--input", "in/pairs.csv", "--output", "out")[0] == set()


def test_what_changed_is_done_again(shop):
    images = {path.name: path.stat().st_mtime_ns for path in (shop.root / "out/images/good").iterdir()}
    with Image.open(shop.composite(0)) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(shop.composite(0))
    (shop.root / "in/masks/1.png").write_bytes((shop.root / "in/masks/1.png").read_bytes())  # touched
    next((shop.root / "out/images/good").glob("0002.*")).unlink()
    done, totals = shop.run()
    assert done == {"0000", "0001", "0002"} and totals["skipped"] == 1
    after = {path.name: path.stat().st_mtime_ns for path in (shop.root / "out/images/good").iterdir()}
    assert [name for name in images if images[name] == after[name]] == [next(n for n in images if n[:4] == "0003")]
    assert shop.run()[1]["skipped"] == 4


def test_contents_decide_with_verify(shop):
    (shop.root / "in/masks/1.png").write_bytes((shop.root / "in/masks/1.png").read_bytes())
    Image.new("L", (16, 16)).save(shop.root / "in/masks/0.png")
    assert shop.run("--verify")[0] == {"0000"}


def test_other_options_or_weights_make_other_images(shop):
    assert shop.run("--strength", 0.5)[0] == ALL
    assert shop.run("--strength", 0.5, "--quality", 90)[0] == {"0000"}  # the JPEG
    assert shop.run("--quality", 90)[0] == ALL
    assert shop.run("--quality", 90, "--resize-mask")[0] == set()
    shop.weights = write_weights(shop.root / "other.safetensors")
    assert shop.run("--quality", 90)[0] == ALL


def test_a_resized_mask_counts_for_its_image_alone(shop):
    path = shop.root / "in/masks/0.png"
    with Image.open(path) as mask:
        mask.resize((mask.width * 2, mask.height * 2)).save(path)
    assert shop.run("--resize-mask")[0] == {"0000"} and shop.run("--resize-mask")[0] == set()
    assert shop.run()[1]["failed"] == 2


def test_a_pair_may_have_a_strength_of_its_own(shop):
    lines = shop.manifest.read_text().splitlines()
    rows = [f"{lines[0]},strength", *(f"{line},{'0' if line.startswith('good/0002') else ''}" for line in lines[1:])]
    shop.manifest.write_text("\n".join(rows))
    assert shop.run()[0] == {"0002"} and shop.run()[0] == set()
    (image,) = (shop.root / "out/images/good").glob("0002.*")
    with Image.open(image) as made, Image.open(shop.composite(2)) as composite:
        assert made.tobytes() == composite.tobytes()  # WebP, without loss


def test_a_failure_is_new_once_and_then_known(shop):
    assert shop.first[1]["new"] == 1
    assert shop.run()[1]["new"] == 0 and shop.run("--no-resume")[1]["new"] == 0
    (shop.root / "in/masks/1.png").unlink()
    totals = shop.run()[1]
    assert (totals["failed"], totals["new"]) == (2, 1)
    rows = {(row["run_id"], row["id"]): row for row in table(shop.root / "out/failures")}
    last = {identity: row["known_since"] for (run, identity), row in rows.items() if run == "night-4"}
    assert last == {"bad/truncated-0": "night-1", "good/0001": None}
    assert all(row["failed_at"] and row["shop"] for row in rows.values())


def test_failures_of_an_older_program_are_known_too(shop):
    (part,) = (shop.root / "out/failures/run_id=night-1").iterdir()
    parquet.write_table(parquet.read_table(part).drop_columns(["failed_at", "known_since", "shop"]), part)
    assert shop.run()[1]["new"] == 0


def test_without_resuming_all_is_done_again(shop):
    assert shop.run("--no-resume")[0] == ALL


def test_a_pair_that_left_the_manifest_is_reported_and_its_image_stays(shop):
    rows = [row for row in csv.reader(shop.manifest.read_text().splitlines()) if row[0] != "good/0002"]
    shop.manifest.write_text("\n".join(",".join(row) for row in rows))
    assert shop.run("--limit", 1)[1]["removed"] == 0
    totals = shop.run()[1]
    assert totals["removed"] == 1 and totals["skipped"] == 3
    assert list((shop.root / "out/images/good").glob("0002.*"))


def test_images_that_another_suffix_replaces_are_named_and_stay(shop):
    (old,) = (shop.root / "out/images/good").glob("0001.*")
    assert shop.run("--format", "webp")[1]["stale"] == 3  # the fourth is a WebP already
    content = json.loads((shop.root / f"out/runs/night-{shop.number}.json").read_text())
    assert str(old) in content["stale"] and old.exists()
    assert shop.run("--format", "webp")[1]["stale"] == 0


def test_a_pair_that_may_not_be_opened_fails_and_is_not_removed(shop):
    shop.manifest.write_text(shop.manifest.read_text().replace("masks/1.png", "s3://other/1.png"))
    totals = shop.run(name="refused")[1]
    assert (totals["failed"], totals["skipped"], totals["removed"]) == (2, 3, 0)
    refused = next(row for row in table(shop.root / "out/failures") if row["error"] == "StorageError")
    assert refused["id"] == "good/0001" and "--allow-scheme" in refused["message"]


def test_only_what_failed_is_tried_again(shop):
    broken = next(path for path in (shop.root / "in/composites").iterdir() if path.stem.startswith("1000"))
    with Image.open(shop.root / f"in/masks/{broken.stem}.png") as mask:
        Image.new("RGB", mask.size, "red").save(broken)
    shop.composite(0).touch()
    done, totals = shop.run("--retry-failed", "night-1")
    assert done == {"bad/truncated-0"} and totals["failed"] == totals["skipped"] == totals["removed"] == 0
    base = ["--input", shop.manifest, "--output", shop.root / "out", "--weights", shop.weights]
    for options in ([], ["--dry-run"]):
        result = harmonize(*base, "--retry-failed", "never", *options)
        assert result.exit_code == 1 and "never.json" in result.output


def test_a_list_of_ids_chooses_the_pairs(shop):
    review = shop.root / "review.csv"
    review.write_text("id,verdict,note\ngood/0001,redo,too red\ngood/0002,good,\nbad/truncated-0,bad,\n")
    assert shop.dry("--no-resume", "--ids", review)["would do"].startswith("2 images,")
    done, totals = shop.run("--no-resume", "--ids", review)
    assert done == {"0001"} and (totals["failed"], totals["removed"]) == (1, 0)
    done, totals = shop.run("--no-resume", "--skip-ids", review)
    assert done == ALL - {"0001"} and totals["failed"] == 0


def test_a_run_that_was_cut_short_goes_on_under_its_name(shop):
    """The run looks as if it had died after two images: it has left its journal, but no final files and no summary."""
    folder = shop.root / "out/metrics/run_id=night-1"
    (part,) = folder.iterdir()
    rows = parquet.read_table(part)
    keep = [i for i, identity in enumerate(rows["id"].to_pylist()) if identity in ("good/0001", "good/0003")]
    parquet.write_table(rows.take(keep), folder / "journal-0.parquet")
    part.unlink()
    (shop.root / "out/runs/night-1.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (shop.root / "out/images/good").iterdir()}
    time.sleep(0.01)
    done, totals = shop.run(name="night-1")
    assert done == ALL and (totals["done"], totals["skipped"]) == (2, 2)
    assert len(table(shop.root / "out/metrics")) == 4 and len(list(folder.iterdir())) == 1
    again = {path.name[:4] for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert again == {"0000", "0002"}


def test_a_complete_run_that_is_started_again_has_nothing_to_do_and_keeps_its_table(shop):
    done, totals = shop.run(name="night-1")
    assert done == ALL and (totals["done"], totals["skipped"], totals["images"], totals["pixels"]) == (0, 4, 4, 0)
    assert set(totals["seconds"].values()) == {0}
    said = status.describe(str(shop.root / "out"))
    assert re.search(r"night-1 +\S+ +0 +1 +1 +\d +4 ", said) and "Done in all: 4 images" in said


def test_the_journal_is_written_while_the_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("hdnet.pipeline.steps.journal.SHORTEST", 0.0)
    monkeypatch.setattr("hdnet.pipeline.steps.journal.FRACTION", 0.0)
    monkeypatch.setattr("hdnet.pipeline.graph.remove_others", lambda *_: None)
    shop = Shop(tmp_path)
    shop.run()
    files = sorted(path.name.split("-")[0] for path in (tmp_path / "out/metrics/run_id=night-1").iterdir())
    assert files == ["_journal"] * 4 + ["part"]


def test_records_that_say_too_little_are_not_trusted_and_broken_ones_are_named(shop):
    folder = shop.root / "out/metrics/run_id=night-1"
    (part,) = folder.iterdir()
    parquet.write_table(parquet.read_table(part).drop_columns(["options"]), part)
    assert shop.run()[0] == ALL
    (folder / "part-9.parquet").write_bytes(b"not Parquet")
    base = ["--input", shop.manifest, "--output", shop.root / "out", "--weights", shop.weights, "--workers", 1]
    result = harmonize(*base, "--no-report")
    assert result.exit_code == 1 and "part-9.parquet is not a Parquet file" in result.output
    assert harmonize(*base, "--no-report", "--no-resume").exit_code == 0


def test_rows_of_an_older_program_are_made_again(shop):
    """The run looks as if it had been cut short, and the program had changed before it went on."""
    (part,) = (shop.root / "out/metrics/run_id=night-1").iterdir()
    parquet.write_table(parquet.read_table(part).drop_columns(["newly_clipped_ratio"]), part)
    before = {path: path.stat().st_mtime_ns for path in (shop.root / "out/images/good").iterdir()}
    assert shop.run(name="night-1")[0] == ALL
    assert all(path.stat().st_mtime_ns != at for path, at in before.items())


def test_an_image_that_is_not_as_its_record_left_it_is_made_again(shop):
    images = sorted((shop.root / "out/images/good").iterdir())
    whole = images[0].read_bytes()
    images[0].write_bytes(b"")
    late = time.time() + 3600  # as if a later run had been killed between the image and its record
    os.utime(images[1], (late, late))
    assert shop.run()[0] == {"0000", "0001"}
    assert images[0].read_bytes() == whole
    before = images[2].stat()
    images[2].write_bytes(whole[::-1].ljust(before.st_size, b"x")[: before.st_size])
    os.utime(images[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert shop.run()[0] == set() and shop.run("--verify")[0] == {"0002"}


def test_a_dry_run_counts_what_a_run_would_leave_out(shop):
    before = {path: path.stat().st_mtime_ns for path in shop.root.rglob("*") if path.is_file()}
    for options, up_to_date, images in (
        ([], 4, "1 image,"),
        (["--verify"], 4, "1 image,"),
        (["--quality", 90], 3, "2 images,"),
        (["--strength", 0.5], 0, "5 images,"),
        (["--no-resume"], 0, "5 images,"),
    ):
        said = shop.dry(*options)
        assert said["up to date"] == f"{up_to_date} of 5 pairs" and said["would do"].startswith(images), options
    assert before == {path: path.stat().st_mtime_ns for path in shop.root.rglob("*") if path.is_file()}
    said = shop.dry("--retry-failed", "night-1")
    assert said["up to date"] == "0 of 1 pair" and said["would do"].startswith("1 image,")
    shop.composite(0).touch()
    said = shop.dry("--limit", 3)
    assert said["up to date"] == f"{shop.run('--limit', 3)[1]['skipped']} of 3 pairs"


def test_a_copied_record_does_not_count_for_another_output(shop):
    shutil.copytree(shop.root / "out/metrics", shop.root / "new/metrics")
    arguments = ["--input", shop.manifest, "--output", shop.root / "new", "--weights", shop.weights, "--workers", 1]
    assert harmonize(*arguments, "--no-report").exit_code == 0
    assert len(list((shop.root / "new/images/good").iterdir())) == 4


def test_the_same_tensors_in_another_configuration_make_other_images(shop):
    network = architectures.build("hdnet-lite", {"width": 1, "k": 3})
    network.load_state_dict(weights_file.load_network(shop.weights).state_dict())
    weights_file.save(network, shop.weights, {})
    assert shop.run()[0] == ALL


def test_a_part_of_a_run_takes_nothing_from_it(shop):
    totals = shop.run("--retry-failed", "night-1", name="night-1", code=3)[1]
    assert (totals["done"], totals["failed"], totals["images"]) == (0, 1, 4)
    base = ["--input", shop.manifest, "--output", shop.root / "out", "--weights", shop.weights, "--run-id", "night-1"]
    result = harmonize(*base, "--limit", 1)
    assert result.exit_code == 1 and "give another --run-id" in result.output
    assert len(table(shop.root / "out/metrics")) == 4


def test_rows_that_stay_have_the_manifest_s_columns_of_today(shop):
    shop.manifest.write_text(shop.manifest.read_text().replace("shop", "season"))
    shop.run(name="night-1")
    rows = table(shop.root / "out/metrics")
    assert len(rows) == 4 and all(row["season"] and "shop" not in row for row in rows)


def test_a_retry_into_its_own_run_survives_a_restart(shop, monkeypatch):
    (shop.root / "out/runs/night-1.json").unlink()  # as the first attempt left it
    monkeypatch.setattr("hdnet.pipeline.local.supervise.remembered_run", lambda: "night-1")
    assert shop.run("--retry-failed", "night-1", name="night-1", code=3)[1]["images"] == 4


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_catalog(tmp_path / "home", good=1, broken=0)
    result = harmonize("--input=~/pairs.csv", "--output=~/no/out", "--dry-run")
    assert result.exit_code == 0 and f"{tmp_path}/home/no/out/images" in result.output
    assert not (tmp_path / "home/no").exists()
