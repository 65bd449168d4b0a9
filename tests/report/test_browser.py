"""The report in a real browser: the slider, the review, the phone. Its pictures lie in build/screenshots afterwards."""

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from hdnet.pipeline.report import page, panels
from tests import browser
from tests.run_samples import INFO, compared, failed, row, summary

CATALOG = Path(__file__).parents[2] / "examples" / "catalog"
NAMES = ("coffee", "dahlia", "pagoda", "cat")
ODD = 'a"b, <i>\u05d0'

pytestmark = browser.needed


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with a failure, a flag, an image made worse and one with an odd id."""
    folder = tmp_path_factory.mktemp("out") / "runs"
    folder.mkdir()
    rows = [compared(name, 20, 24 - 2 * i) | files(name) for i, name in enumerate(NAMES)]
    whole = summary(*rows, row(ODD, delta_e=1.0, **files("rocket")), failed("broken"))
    whole.add(row("flagged", flags="clipped", **files("astronaut")))
    info = dataclasses.replace(INFO, output=str(folder.parent))
    path = folder / "r1.html"
    path.write_text(page.render(info, whole, panels.load(whole, lambda uri: Path(uri).read_bytes())), "utf-8")
    return path


def files(name: str) -> dict[str, str]:
    # The reference stands for the result: a network has no part in this.
    uris = {"composite": "composites/{}.jpg", "output": "references/{}.jpg", "mask": "masks/{}.png",
            "reference": "references/{}.jpg"}  # fmt: skip
    return {column: str(CATALOG / uri.format(name)) for column, uri in uris.items()}


def shown(chrome: Chrome) -> tuple[float, float]:
    """Return the left and the right end of what is seen of the picture after, as fractions of the frame."""
    inset = chrome.execute_script("return getComputedStyle(document.querySelector('.after')).clipPath")
    return float(inset.rstrip(")").split()[-1].rstrip("%")) / 100, 1.0


def test_the_slider_follows_mouse_touch_and_keyboard(report, tmp_path):
    with browser.opened(report, tmp_path) as chrome:
        frame = chrome.find_element(By.CSS_SELECTOR, ".compare")
        assert shown(chrome)[0] == 0.5
        quarter = frame.size["width"] // 4
        ActionChains(chrome).move_to_element(frame).click_and_hold().move_by_offset(quarter, 0).release().perform()
        assert shown(chrome)[0] == pytest.approx(0.75, abs=0.03)
        ActionChains(chrome).send_keys(Keys.ARROW_LEFT * 5).perform()
        assert shown(chrome)[0] == pytest.approx(0.70, abs=0.03)
        place = chrome.execute_script("return document.querySelector('.compare').getBoundingClientRect().toJSON()")
        touch = {"x": place["x"] + place["width"] / 4, "y": place["y"] + place["height"] / 2}
        chrome.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
        chrome.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        WebDriverWait(chrome, 20).until(lambda _: abs(shown(chrome)[0] - 0.25) < 0.03)


def test_marks_are_saved_as_a_file(report, tmp_path):
    with browser.opened(report, tmp_path) as chrome:
        cards = {
            card.find_element(By.TAG_NAME, "h3").text: card for card in chrome.find_elements(By.TAG_NAME, "article")
        }
        save = chrome.find_element(By.CSS_SELECTOR, ".save button")
        assert set(cards) == {*NAMES, ODD, "flagged"} and not save.is_enabled()
        for name, verdict in (
            (ODD, "bad"),
            ("coffee", "good"),
            ("coffee", "redo"),
            ("dahlia", "bad"),
            ("dahlia", "bad"),
        ):
            press(chrome, cards[name].find_element(By.CSS_SELECTOR, f"[value={verdict}]"))
        cards[ODD].find_element(By.CSS_SELECTOR, ".note").send_keys('too "blue", by far')
        assert chrome.find_element(By.TAG_NAME, "output").text == "2 of 6 marked"
        save.click()
        target = tmp_path / "review-r1.csv"
        WebDriverWait(chrome, 20).until(lambda _: target.is_file())
        content = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    assert sorted(content, key=lambda each: each["id"]) == [
        {"id": ODD, "verdict": "bad", "note": 'too "blue", by far'},
        {"id": "coffee", "verdict": "redo", "note": ""},
    ]


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_wider_than_the_window(report, tmp_path, width):
    with browser.opened(report, tmp_path, width) as chrome:
        assert chrome.execute_script("return document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            picture = browser.SCREENSHOTS / f"report-{width}-{scheme}.png"
            browser.screenshot(chrome, picture, dark=scheme == "dark")
            assert browser.faults(chrome) == []
            level = Image.open(picture).convert("L").getpixel((2, 2))
            assert isinstance(level, int) and (level < 60) == (scheme == "dark")


def test_on_paper_both_pictures_are_seen(report, tmp_path):
    with browser.opened(report, tmp_path) as chrome:
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        places = [chrome.find_element(By.CSS_SELECTOR, f".compare .{name}").rect for name in ("before", "after")]
        assert places[0]["x"] + places[0]["width"] <= places[1]["x"]
        clips = chrome.execute_script("return [...document.images].map(each => getComputedStyle(each).clipPath)")
        assert set(clips) == {"none"}
        assert not chrome.find_element(By.CSS_SELECTOR, ".save").is_displayed()


def press(chrome: Chrome, button: object) -> None:
    # The bar at the bottom may lie over a button that the driver has scrolled just into sight.
    chrome.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)
