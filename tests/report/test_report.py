"""The report: hostile text, numbers and pictures, and runs without them."""

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hdnet.pipeline.report import charts, closing, gallery, links, page, panels, top
from hdnet.pipeline.report.panels import Panels
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps.summary import SHOWN, Summary
from hdnet.transforms import text
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.errors import StorageError
from hdnet.transforms.pages.pictures import Picture
from hdnet.transforms.pixels import thumbnails
from tests import pictures as encoded
from tests.run_samples import INFO, compared, failed, row, summary, table

HOSTILE = "<script>alert(1)</script>\"'&amp; onload=x {{ 7*7 }} \u05d0\u200f\U0001f600 https://evil.example/x.js"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data.strip())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [value for found, attrs in self.elements if found == tag and (value := attrs.get(name))]


def made(*rows: Record, info: RunInfo = INFO, pictures: dict[str, Panels] | None = None) -> Page:
    return Page(page.render(info, summary(*rows), pictures or {}))


def png(value: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (40, 20), (value, value, value) if mode == "RGB" else value).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {"composite.png": png(50), "mask.png": png(255, "L"), "output.png": png(90), "reference.png": png(130)}


def test_hostile_text_stays_text():
    fields: dict[str, Any] = dict.fromkeys(
        ("run_id", "weights", "weights_sha256", "arch", "precision", "manifest"), HOSTILE
    )
    info = dataclasses.replace(
        INFO, **fields, output=f"/out/{HOSTILE}", versions={HOSTILE: HOSTILE}, options={HOSTILE: HOSTILE, "limit": None}
    )
    bad = failed(HOSTILE, HOSTILE, HOSTILE) | {"stage": HOSTILE, "source": HOSTILE}
    pictures: dict[str, Panels] = {
        HOSTILE: {
            "composite": Picture("composite", "data:,"),
            "result": Picture("result", problem=HOSTILE),
            "mask": Picture("mask", "data:,"),
        }
    }
    hostile = made(compared(HOSTILE, 20, 19, output=f"/out/{HOSTILE}/x.png"), bad, info=info, pictures=pictures)
    plain = made(compared("a", 20, 19, output="/out/x.png"), failed(), pictures={"a": pictures[HOSTILE]})
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(attrs) for _, attrs in hostile.elements] == [set(attrs) for _, attrs in plain.elements]
    assert hostile.text.count(HOSTILE) >= 14
    assert f"composite of {HOSTILE}" in hostile.attributes("img", "alt")


@pytest.mark.parametrize(
    "raw, shown",
    [
        ("a\nb\0\x1b[2J", r"a\nb\x00\x1b[2J"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("\u200f\u05d0\U0001f469\u200d\U0001f52c", "\u200f\u05d0\U0001f469\u200d\U0001f52c"),
    ],
)
def test_what_cannot_be_seen_is_written_out(raw, shown):
    assert text.visible(raw) == shown
    assert shown in made(failed(raw)).text
    page.render(INFO, summary(failed(raw, message=raw), row(raw)), {}).encode()


def test_the_page_is_self_contained():
    whole = summary(compared("a", 20, 30, output="/out/images/a.png"), failed())
    files = FILES | {"/out/images/a.png": FILES["output.png"]}
    source = page.render(INFO, whole, panels.load(whole, files.__getitem__))
    found = Page(source)
    assert {tag for tag, _ in found.elements}.isdisjoint({"link", "iframe", "object", "base", "form"})
    assert all(uri.startswith("data:image/webp;base64,") for uri in found.attributes("img", "src"))
    inside = {"#how", "#failures", "#pictures", "index.html"}
    assert {href for href in found.attributes("a", "href") if not href.startswith("../../")} == {
        *inside, "../images/a.png"
    }  # fmt: skip
    assert not re.search(r"https?:|@import|url\(|\bon\w+=", source)


def test_the_policy_allows_one_script_and_one_style():
    source = page.render(INFO, summary(row()), {})
    policy = Page(source).attributes("meta", "content")[0]
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_counts_at_the_top():
    whole = summary(compared("a", 20, 30), compared("b", 30, 28), row("c", flags="clipped"), failed("d"), failed("e"))
    shown = {tile.label: (tile.value, tile.note, tile.href, tile.bad) for tile in top.tiles(whole)}
    assert shown == {
        "Done": ("3", "1.5 megapixels", "#pictures", False),
        "Failed": ("2", "40.0% of 5", "#failures", True),
        "New failures": ("2", "100.0% of 2", "#failures", True),
        "Flagged": ("2", "66.7% of 3", "#flagged", True),
        "Made worse": ("1", "50.0% of 2 with a reference; flagged, too", "#worse", True),
        "Up to date": ("0", "made before", "#how", False),
    }
    ids = {f"#{attrs['id']}" for _, attrs in Page(page.render(INFO, whole, {})).elements if "id" in attrs}
    assert {href for _, _, href, _ in shown.values()} <= ids


@pytest.mark.parametrize(
    "rows, skipped, words",
    [
        ([], 0, "There were no pairs to do."),
        ([], 3, "There was nothing to do: 3 images up to date."),
        ([row()], 0, "It went well: 1 image done, none failed, none flagged."),
        ([failed(known_since="r0")], 1, "Look at this: 1 pair failed (known from earlier runs)."),
        ([failed(known_since="r0"), failed()], 0, "Look at these: 2 pairs failed (1 of them new)."),
        ([row(flags="clipped,mask"), failed()], 0, "Look at these: 1 pair failed (new) and 1 image flagged."),
        ([compared("a", 9, 8, flags="clipped,worse"), failed(), failed()], 0,
         "Look at these: 2 pairs failed (all new) and 1 image made worse."),
        ([compared("a", 9, 8), row("b", flags="clipped")], 0,
         "Look at these: 2 images flagged (1 of them made worse)."),
    ],
)  # fmt: skip
def test_the_verdict_is_one_sentence(rows, skipped, words):
    whole = summary(*rows)
    whole.skipped = skipped
    (shown,) = re.findall('<p class="verdict[^>]*>(.*?)</p>', page.render(INFO, whole, {}))
    assert re.sub("<[^>]*>", "", shown) == words


def test_the_verdict_on_images_of_before_says_so():
    whole = summary(compared("a", 30, 29))
    whole.merge(Summary(done=-1, skipped=1))  # the run was started again
    assert top.verdict(whole) == "There was nothing to do: 1 image up to date. Look at this: "


def test_figures_are_explained_before_they_appear_and_names_are_said_once():
    source = page.render(INFO, summary(row(flags="clipped")), {})
    assert source.index("CIEDE2000") < source.index("<dt>change</dt>") and "PSNR" not in source
    assert "clipped: many pixels of the object" in source
    assert "hdnet-lite (" not in re.sub("<[^>]*>", "", source)


def test_no_tile_is_without_a_figure():
    assert all(tile.value != text.DASH for rows in ([], [row()], [failed()]) for tile in top.tiles(summary(*rows)))


@pytest.mark.parametrize(
    "uri, page_uri, expected",
    [
        ("/out/images/x#?.png", "/out/runs/r.html", "../images/x%23%3F.png"),
        ("/data/c.jpg", "/out/runs/r.html", "../../data/c.jpg"),
        ("gs://b/out/x ?.png", "gs://b/out/runs/r.html", "https://storage.cloud.google.com/b/out/x%20%3F.png"),
        ("s3://b/out/x.png", "/out/runs/r.html", "https://s3.console.aws.amazon.com/s3/object/b?prefix=out/x.png"),
        ("/data/c.jpg", "gs://b/out/runs/r.html", None),
        ("memory://x.png", "/out/runs/r.html", None),
        ("out/images/x.png", "out/runs/r.html", "../images/x.png"),
        ("out/runs/javascript:alert(1)", "out/runs/r.html", "javascript%3Aalert%281%29"),
        ("javascript://%0aalert(1)", "/out/runs/r.html", None),
    ],
)
def test_links_work_where_the_page_lies(uri, page_uri, expected):
    assert links.link(uri, page_uri) == expected


def ids(galleries: list[gallery.Gallery]) -> dict[str, list[str]]:
    return {each.key: [shown.row["id"] for shown in each.images] for each in galleries}


def test_no_image_is_shown_twice():
    few, many = ([row(f"{i:02}", delta_e=float(i)) for i in range(count)] for count in (3, SHOWN + 2))
    assert ids(gallery.galleries(INFO, summary(*few), {})) == {"most": ["02", "01", "00"]}
    most, least = gallery.galleries(INFO, summary(*many), {})
    assert most.images[0].row["id"] == f"{SHOWN + 1:02}" and most.note == "8 of 10, largest change first"
    assert ids([least]) == {"least": ["00", "01"]} and least.note == "2 of 10, smallest change first; 6 more above"


def test_the_worst_come_first():
    rows = [compared("a", 30, 29), compared("b", 30, 20), compared("c", 20, 30, delta_e=9.0)]
    found = gallery.galleries(INFO, summary(*rows), {})
    assert ids(found) == {"worse": ["b", "a"], "most": ["c"]} and found[0].note == "2 of 2, worst first"


def test_a_section_that_a_tile_leads_to_is_there_even_if_its_images_are_above():
    worse = [compared(f"{i}", 30, 29, flags="clipped,worse") for i in range(SHOWN)]
    found = gallery.galleries(INFO, summary(*worse, row("mild", flags="clipped")), {})
    assert not ids(found)["flagged"] and found[1].note == "8 of 9, shown above"
    assert {each.key for each in gallery.galleries(INFO, summary(*worse), {})} == {"worse"}


def test_failures_are_named_up_to_a_limit():
    found = made(*(failed(f"id{i}") for i in range(7)), failed(None, "ManifestError"))
    assert "id4" in found.text and "id5" not in found.text and text.DASH in found.text
    assert any("and 2 more in" in each for each in found.text) and "/out/failures/run_id=r1" in found.text


def test_an_empty_run_has_a_page_and_tables():
    found = made(info=dataclasses.replace(INFO, finished=INFO.started, rows=None))
    assert "Made worse" not in found.text and text.DASH in found.text
    assert not {"svg", "img", "table"} & {tag for tag, _ in found.elements}
    assert re.search("failures +0\n", table(Summary()))


def test_a_run_of_failures_only_has_no_charts():
    found = made(failed())
    assert "DecodeError" in found.text and "svg" not in {tag for tag, _ in found.elements}


def test_without_references_there_is_no_psnr():
    assert not any("PSNR" in each for each in made(row()).text)
    assert "mean PSNR" not in table(summary(row())) and closing.psnr_table([row()]) == ""
    assert [chart.kind.columns[-1] for chart in charts.charts(summary(row()))][0] == "gap_after"


def test_thumbnails_show_composite_result_mask_and_reference():
    mask = np.zeros((20, 40), np.uint8)
    mask[5:15, 10:30] = 255
    shown = panels.draw(compared("a", 20, 30), (FILES | {"mask.png": encoded.pillow(mask[..., None])}).__getitem__)
    drawn = {name: np.asarray(decode(panel)) for name, panel in shown.items()}
    sizes = {"composite": (240, 480, 3), "result": (240, 480, 3), "mask": (120, 240, 3), "reference": (120, 240, 3)}
    assert {name: picture.shape for name, picture in drawn.items()} == sizes
    middles = [drawn[name][height // 2, width // 2, 0] for name, (height, width, _) in sizes.items()]
    np.testing.assert_allclose(middles, [50, 90, 50, 130], atol=3)
    assert drawn["mask"].max() > 200 and drawn["mask"][2, 2, 0] == pytest.approx(50 * thumbnails.DIMMED, abs=3)


@pytest.mark.parametrize(
    "gone, missing",
    [
        ("composite.png", ["composite", "mask"]),
        ("mask.png", ["mask"]),
        ("output.png", ["result"]),
        ("reference.png", ["reference"]),
    ],
)
@pytest.mark.parametrize("how", [FileNotFoundError, StorageError, "truncated"])
def test_a_picture_that_cannot_be_read_says_so(gone, missing, how):
    def read(uri: str) -> bytes:
        if uri == gone and isinstance(how, type):
            raise how("no <b>such</b> file")
        return FILES[uri][: 40 if uri == gone else None]

    whole = summary(compared("a", 20, 30))
    shown = panels.load(whole, read)
    assert [name for name, panel in shown["a"].items() if panel.problem] == missing
    assert Page(page.render(INFO, whole, shown)).text.count("No picture") == len(missing)


def test_a_picture_above_the_run_s_limit_is_not_shown():
    shown = panels.draw(compared("a", 20, 30), FILES.__getitem__, max_pixels=799)
    assert all("800" in panel.problem or "40 x 20" in panel.problem for panel in shown.values())


def test_each_picture_is_drawn_once():
    asked: list[str] = []

    def read(uri: str) -> bytes:
        asked.append(uri)
        return FILES[uri]

    panels.load(summary(compared("a", 20, 19)), read)
    assert sorted(asked) == sorted(FILES)


@pytest.mark.parametrize(
    "seconds, shown", [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3599.6, "1 h 0 min"), (7322, "2 h 2 min")]
)
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


def test_a_thousand_images_take_less_than_three_megabytes():
    photos = sorted((Path(__file__).parents[2] / "examples/catalog/composites").iterdir())
    drawn = [panels.draw(compared("", 1, 2) | files_of(photo), lambda uri: Path(uri).read_bytes()) for photo in photos]
    rows = [compared(f"{i:04}", 30, 30 - (i < 20), delta_e=float(i), flags="clipped" * (i > 900)) for i in range(1000)]
    source = page.render(INFO, summary(*rows), {f"{i:04}": drawn[i % len(drawn)] for i in range(1000)})
    assert source.count("<article") == 3 * SHOWN and len(source) * 4 / 3 < 3e6


def files_of(photo: Path) -> dict[str, str]:
    mask = photo.parents[1] / "masks" / f"{photo.stem}.png"
    return {name: str(photo) for name in ("composite", "output", "reference")} | {"mask": str(mask)}


def test_the_templates_are_shipped():
    root = Path(__file__).parents[2]
    pyproject = (root / "pyproject.toml").read_text()
    for folder in (path for room in ("transforms", "model", "pipeline") for path in (root / room).glob("*/templates")):
        assert f'"hdnet.{folder.parent.relative_to(root).as_posix().replace("/", ".")}" = ["templates/*"]' in pyproject


def decode(panel: Picture) -> Image.Image:
    head, _, data = panel.uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
