"""The pages in headless Chromium, opened from a file as a person would: quiet, self-contained, usable by mouse, keyboard and phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from reports import full

from edgekit import report
from edgekit.enhancer import CLASSICAL, ClassicalStep
from edgekit.evidence import Fidelity

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="NOT TESTED: no chromium here; on Debian: apt-get install chromium")

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    ways = [Fidelity("CLAHE, regions 8, limit 4", "classical", 24.0, 18.0, 0.75), Fidelity("the network in float32", "network", 25.5, 20.0, 0.8)]
    steps = (ClassicalStep("clahe", CLASSICAL["clahe"]),)
    a, b = full(folder / "a", fidelity=ways, change=lambda m: replace(m, after=steps)), full(folder / "b", noise=0.01)
    (folder / "report.html").write_text(report.build(a), "utf-8")
    (folder / "compare.html").write_text(report.compare(a, b), "utf-8")
    return {name: folder / f"{name}.html" for name in ("report", "compare")}


@dataclass
class Visit:
    tab: Tab
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser, pages):
    """Opens a page in a window of a size; what the console said and what was asked for is kept."""
    contexts = []

    def open_page(name: str, size: tuple[int, int], scheme: str = "light") -> Visit:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, has_touch=size == PHONE)
        contexts.append(context)
        seen = Visit(context.new_page())
        seen.tab.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        seen.tab.on("pageerror", lambda error: seen.said.append(str(error)))
        seen.tab.on("request", lambda request: seen.asked.append(request.url))
        seen.tab.goto(pages[name].as_uri(), wait_until="load")
        return seen

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 640)], ids=["desktop", "phone", "narrow"])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_quiet_self_contained_and_not_wider_than_the_window(name, size, visit):
    seen = visit(name, size)
    pictures = seen.tab.locator("img").evaluate_all("all => all.map(i => [i.naturalWidth, i.complete, i.alt])")
    assert len(pictures) >= 6 and all(width > 0 and complete and alt for width, complete, alt in pictures)
    assert seen.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "no sideways scrolling"
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith("data:")] == [seen.tab.url] and seen.tab.url.startswith("file:")
    assert seen.tab.evaluate("document.title") != "1", "a script in a chart did not run"
    assert seen.tab.locator("#classical tr.best, .notice.around").count() == (2 if name == "report" else 0)


def cut(wipe: Locator) -> float:
    """How much of the artifact's picture is clipped at the left, in per cent."""
    clip = wipe.locator("img.over").evaluate("i => getComputedStyle(i).clipPath")
    assert clip.startswith("inset(")
    return float(clip.removeprefix("inset(").removesuffix(")").split()[-1].removesuffix("%").removesuffix("px"))


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_slider_follows_mouse_and_keyboard(size, visit):
    tab = visit("report", size).tab
    wipe = tab.locator(".wipe").first
    wipe.scroll_into_view_if_needed()
    assert cut(wipe) == 50
    box = wipe.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    tab.mouse.down()
    for share in (0.6, 0.7, 0.8):
        tab.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.5)
    tab.mouse.up()
    assert cut(wipe) == pytest.approx(80, abs=1.5), "the edge is where the pointer is"
    edge = wipe.locator(".edge").bounding_box()
    assert edge["x"] == pytest.approx(box["x"] + box["width"] * 0.8, abs=6)
    slider = wipe.locator("input")
    slider.focus()
    for key, expected in (("Home", 0), ("ArrowRight", 1), ("End", 100), ("ArrowLeft", 99)):
        tab.keyboard.press(key)
        assert cut(wipe) == expected
    assert slider.get_attribute("aria-label")
    assert cut(tab.locator(".wipe").nth(1)) == 50, "each picture has its own slider"


def test_the_slider_is_reached_by_tab_and_shows_its_focus(visit):
    tab = visit("report", DESKTOP).tab
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.matches('.wipe input')"):
            break
    else:
        pytest.fail("no slider was reached by 40 tabs")
    assert tab.locator(".wipe").first.evaluate("w => getComputedStyle(w).outlineStyle") == "solid"


def test_what_the_slider_hides_is_really_the_other_picture(visit):
    """The pixels on the screen change where the slider went: the bad tile's artifact differs from the reference."""
    tab = visit("report", DESKTOP).tab
    wipe = tab.locator(".wipe").first
    slider = wipe.locator("input")
    shots = []
    for key in ("Home", "End"):
        slider.focus()
        tab.keyboard.press(key)
        tab.evaluate("document.activeElement.blur()")
        shots.append(wipe.screenshot())
    assert shots[0] != shots[1]


@pytest.mark.parametrize("name", ["report", "compare"])
def test_dark_and_light_are_readable(name, visit):
    """Every text on its own background has a contrast of at least 4.5 (WCAG 2, AA), in both schemes."""
    for scheme in ("light", "dark"):
        tab = visit(name, DESKTOP, scheme).tab
        poor = tab.evaluate(CONTRAST)
        assert poor == [], scheme


CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.slice(0, 3).map(linear); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => {
    for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('.wipe') || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e), ink = rgb(e.tagName === 'text' ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(e.tagName + ': ' + e.textContent.trim().slice(0, 40));
  }
  return poor;
}"""


def test_without_scripts_the_page_still_shows_everything(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["report"].as_uri())
    assert tab.locator("h1").inner_text().startswith("Ship net-int8") and tab.locator("table td").count() > 20
    context.close()
