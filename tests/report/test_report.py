"""The report: hostile text, numbers and pictures, and runs without them."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hdnet.pipeline import text
from hdnet.pipeline.report import charts, closing, page, panels
from hdnet.pipeline.report.panels import Panel
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps.summary import SHOWN, Summary
from hdnet.transforms.catalog.rows import Record
from hdnet.transforms.errors import StorageError
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


def made(*rows: Record, info: RunInfo = INFO, pictures: dict[str, tuple[Panel, ...]] | None = None) -> Page:
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
    pictures: dict[str, tuple[Panel, ...]] = {HOSTILE: (Panel("result", problem=HOSTILE), Panel("composite", "data:,"))}
    hostile = made(compared(HOSTILE, 20, 19, output=f"/out/{HOSTILE}/x.png"), bad, info=info, pictures=pictures)
    plain = made(compared("a", 20, 19, output="/out/x.png"), failed(), pictures={"a": pictures[HOSTILE]})
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert [set(attrs) for _, attrs in hostile.elements] == [set(attrs) for _, attrs in plain.elements]
    assert hostile.text.count(HOSTILE) >= 15
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
    assert {tag for tag, _ in found.elements}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in found.attributes("img", "src"))
    assert set(found.attributes("a", "href")) == {"#how", "../images/a.png"}
    assert not re.search(r"https?:|@import|url\(|\bon\w+=", source)
    assert any("default-src 'none'" in policy for policy in found.attributes("meta", "content"))


def test_the_numbers_at_the_top():
    whole = summary(compared("a", 20, 30), compared("b", 30, 28), row("c"), failed("d"), failed("e"))
    shown = {figure.label: (figure.value, figure.note) for figure in page.figures(INFO, whole)}
    assert shown == {
        "Images": ("3", "of 5 rows in the manifest"),
        "Failed": ("2", "40.0% of all"),
        "Images per second": ("0.30", "in 10.0 s"),
        "Megapixels per second": ("0.15", "1.5 megapixels"),
        "Mean PSNR in dB": ("29.00", "25.00 before: +4.00"),
        "Made worse": ("1", "50.0% of 2"),
    }


def test_a_link_leads_to_the_result_and_nowhere_else():
    rows = [row("x#?", output="/out/images/x#?.png", delta_e=9.0), row("elsewhere", output="javascript:alert(1)")]
    (gallery,) = page.galleries(INFO, summary(*rows), {})
    assert [image.link for image in gallery.images] == ["../images/x%23%3F.png", None]


def test_a_small_run_shows_no_image_twice_as_most_and_least_changed():
    few, many = ([row(f"{i:02}", delta_e=float(i)) for i in range(count)] for count in (3, SHOWN + 2))
    assert [len(gallery.images) for gallery in page.galleries(INFO, summary(*few), {})] == [3]
    most, least = page.galleries(INFO, summary(*many), {})
    assert most.images[0].row["id"] == f"{SHOWN + 1:02}"
    assert [shown.row["id"] for shown in least.images] == ["00", "01"]


def test_the_worst_come_first():
    galleries = page.galleries(INFO, summary(compared("a", 30, 29), compared("b", 30, 20)), {})
    assert [[shown.row["id"] for shown in gallery.images] for gallery in galleries] == [["b", "a"], ["a", "b"]]


def test_failures_are_named_up_to_a_limit():
    found = made(*(failed(f"id{i}") for i in range(7)), failed(None, "ManifestError"))
    assert "id4" in found.text and "id5" not in found.text and text.DASH in found.text
    assert any("and 2 more in" in each for each in found.text) and "/out/failures/run_id=r1" in found.text


def test_an_empty_run_has_a_page_and_tables():
    found = made(info=dataclasses.replace(INFO, finished=INFO.started, rows=None))
    assert "no references" in found.text and text.DASH in found.text
    assert not {"svg", "img", "table"} & {tag for tag, _ in found.elements}
    assert re.search("failures +0  -\n", table(Summary()))


def test_a_run_of_failures_only_has_no_charts():
    found = made(failed())
    assert "DecodeError" in found.text and "svg" not in {tag for tag, _ in found.elements}


def test_without_references_psnr_is_a_dash():
    found = made(row())
    assert f"{text.DASH} \u2192 {text.DASH}" in found.text
    assert "mean PSNR" not in table(summary(row())) and closing.psnr_table([row()]) == ""
    assert [chart.kind.columns[-1] for chart in charts.charts(summary(row()))][0] == "gap_after"


def test_thumbnails_show_composite_outline_result_and_reference():
    mask = np.zeros((20, 40), np.uint8)
    mask[5:15, 10:30] = 255
    shown = panels.draw(compared("a", 20, 30), (FILES | {"mask.png": encoded.pillow(mask[..., None])}).__getitem__)
    assert [panel.name for panel in shown] == list(panels.NAMES)
    pictures = [np.asarray(decode(panel)) for panel in shown]
    assert all(picture.shape == (120, 240, 3) for picture in pictures)
    np.testing.assert_allclose([picture[60, 120, 0] for picture in pictures], [50, 50, 90, 130], atol=3)
    assert pictures[1].max() > 200 and pictures[0].max() < 60


@pytest.mark.parametrize(
    "gone, missing",
    [("composite.png", [0, 1]), ("mask.png", [1]), ("output.png", [2]), ("reference.png", [3])],
)
@pytest.mark.parametrize("how", [FileNotFoundError, StorageError, "truncated"])
def test_a_picture_that_cannot_be_read_says_so(gone, missing, how):
    def read(uri: str) -> bytes:
        if uri == gone and isinstance(how, type):
            raise how("no <b>such</b> file")
        return FILES[uri][: 40 if uri == gone else None]

    whole = summary(compared("a", 20, 30))
    shown = panels.load(whole, read)
    assert [i for i, panel in enumerate(shown["a"]) if panel.problem] == missing
    assert Page(page.render(INFO, whole, shown)).text.count("No picture") == len(missing)


def test_a_picture_above_the_run_s_limit_is_not_shown():
    shown = panels.draw(compared("a", 20, 30), FILES.__getitem__, max_pixels=799)
    assert all("800" in panel.problem or "40 x 20" in panel.problem for panel in shown)


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


def test_the_template_and_the_style_are_shipped():
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert "templates/*" in pyproject and '"jinja2>=' in pyproject


def decode(panel: Panel) -> Image.Image:
    head, _, data = panel.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
