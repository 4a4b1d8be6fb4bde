"""The four files of a comparison: the sheet, the page (opened in Chromium), the table and the numbers."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from gatys_lab.compare import compare
from gatys_lab.compare._curves import chart, part_lines, total_lines
from gatys_lab.compare._judge import METRICS
from gatys_lab.compare._sheet import MARKS, _drawable, places
from gatys_lab.config import COMPARED
from gatys_lab.engine import FENCE

QUICK = {"size_px": 48, "evaluations": 3}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two rows of two, and a model; with names that need care."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[0:72, 0:90] / 90
    Pillow.fromarray((np.stack([x, y, (x > y) * 0.8], 2) * 255).astype("uint8")).save(folder / "fjörd & <sea>.png")
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Pillow.fromarray(noise).resize((72, 80), Pillow.Resampling.NEAREST).save(folder / "painting.png")
    return compare(
        folder / "fjörd & <sea>.png", folder / "painting.png", losses=["gram", "bn"], models=["adain"],
        grids=["balance=1,10"], size_px=80, evaluations=4, smallest_px=40,
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(found, tmp_path_factory):
    return found.write(tmp_path_factory.mktemp("out") / "sheet.png")


def test_there_are_four_files(files):
    assert [file.name for file in files] == ["sheet.png", "sheet.html", "sheet.csv", "sheet.json"]
    assert sorted(file.name for file in files[0].parent.iterdir()) == sorted(file.name for file in files)


def test_the_table_is_the_same_in_every_form(found, files):
    rows = list(csv.DictReader(io.StringIO(files[2].read_text())))
    whole = json.loads(files[3].read_text())
    (pair,) = whole["pairs"]
    names = ["gram, balance 1", "gram, balance 10", "bn, balance 1", "bn, balance 10", "adain"]
    assert [row["result"] for row in rows] == ["untouched photo", *names]
    assert [result["result"] for result in pair["results"]] == names
    assert pair["results"][1]["options"] == {"style_loss": "gram", "balance": 10}
    assert pair["results"][-1]["options"] == {"model": "adain"}
    for row, result, own in zip(rows[1:], pair["results"], found.pairs[0].results, strict=True):
        for name in COMPARED:
            assert (
                float(row[f"style by {name}"])
                == result["style"][name]
                == pytest.approx(own.scores.style[name], rel=1e-5)
            )
        for name in METRICS:
            assert float(row[name]) == result["metrics"][name] == pytest.approx(own.scores.metrics[name], rel=1e-5)
        assert int(row["evaluations"]) == result["evaluations"] == own.painted.evaluations
        assert row["reason"] == result["reason"] == own.painted.reason
    assert float(rows[0]["style left"]) == pytest.approx(1) and float(rows[0]["ssim"]) == pytest.approx(1)
    said = found.text()
    style = next(line for line in said.splitlines() if line.startswith("bn, balance 10"))
    assert style.split()[3:] == [f"{v:.2f}" for v in [*found.pairs[0].results[3].scores.style.values()]] + [
        f"{found.pairs[0].results[3].scores.style_left:.2f}"
    ]


def test_the_curves_are_those_of_the_runs(files):
    results = json.loads(files[3].read_text())["pairs"][0]["results"]
    assert results[-1]["curve"]["total"] == []  # the model's
    for result in results[:-1]:
        curve = result["curve"]
        assert curve["evaluation"] == list(range(1, 7)) and curve["size_px"] == [40] * 2 + [80] * 4
        assert curve["seconds"] == sorted(curve["seconds"])
        for i, total in enumerate(curve["total"]):
            assert sum(part[i] for part in curve["parts"].values()) == pytest.approx(total, rel=1e-3)
    assert not any("NaN" in file.read_text() for file in files[2:])


def test_what_is_not_there_is_empty_in_csv_and_null_in_json(photo, tmp_path):
    _, _, table, numbers = compare(photo, photo, losses=["gram"], **QUICK).write(tmp_path / "sheet.png")
    assert {row["style by gram"] for row in csv.DictReader(io.StringIO(table.read_text()))} == {""}
    assert json.loads(numbers.read_text())["pairs"][0]["untouched"]["style"]["gram"] is None


def test_the_sheet_shows_every_picture_with_its_caption_and_the_same_two_places(found, files, tmp_path, monkeypatch):
    written, write = [], ImageDraw.ImageDraw.text

    def spy(self, at, text, *rest, **more):
        written.append(text)
        return write(self, at, text, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    found.write(tmp_path / "sheet.png")
    pair = found.pairs[0]
    for words in ("photo", "style", "painting", "fjord & <sea>", *(result.way.caption for result in pair.results)):
        assert words in written
    for result in pair.results:
        s = result.scores
        note = f"style left {s.style_left:.2f} · SSIM {s.metrics['ssim']:.2f} · {result.painted.seconds:.1f}\u00a0s"
        assert note.replace("\u00a0", " ") in [text.replace("\u00a0", " ") for text in written]
    sheet = np.asarray(Pillow.open(files[0]).convert("RGB"), dtype=int)
    for result in (pair, *pair.results):
        picture = result.photo if result is pair else result.painted.image
        for box in places(pair.photo):
            crop = picture.convert("RGB").crop(box).resize((177, 177), Pillow.Resampling.LANCZOS)
            inner = np.asarray(crop, dtype=int)[60:110, 60:110]
            assert _contains(sheet, inner), result
    colours = [tuple(bytes.fromhex(mark[1:])) for mark in MARKS]
    assert all((sheet == colour).all(2).sum() > 500 for colour in colours)


def _contains(sheet, patch):
    """Whether a patch is somewhere in a picture, exactly."""
    height, width = patch.shape[:2]
    rows, columns = np.nonzero((sheet[: 1 - height, : 1 - width] == patch[0, 0]).all(2))
    return any(np.array_equal(sheet[y : y + height, x : x + width], patch) for y, x in zip(rows, columns, strict=True))


def test_the_places_are_where_the_detail_is_and_do_not_overlap():
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[10:20:2, 90:110], pixels[60:70:2, 10:30] = 255, 120
    one, other = places(Pillow.fromarray(pixels))
    assert one[0] <= 92 < 108 <= one[2] and one[1] <= 12 < 18 <= one[3]
    assert other[0] <= 12 < 28 <= other[2] and other[1] <= 62 < 68 <= other[3]
    assert all(right - left == bottom - top == 20 for left, top, right, bottom in (one, other))


def test_the_places_can_be_chosen():
    photo = Pillow.new("RGB", (120, 80))
    assert places(photo, [(0.5, 0.5), (1.0, 0.0)]) == ((50, 30, 70, 50), (100, 0, 120, 20))
    photo.putpixel((20, 60), (255, 255, 255))
    one, other = places(photo, [(0.5, 0.5)])
    assert one == (50, 30, 70, 50) and other[0] < 20 < other[2] and other[1] < 60 < other[3]


def test_captions_are_in_signs_that_the_font_has():
    assert _drawable("fjörd × 3 – 海.") == "fjord ? 3 ? ?."


class Page(HTMLParser):
    """The tags of a page, with their attributes, checked to be closed."""

    EMPTY = ("meta", "img", "input")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_every_picture_and_asks_for_nothing(found, files):
    text = files[1].read_text()
    page, pair = Page(text), found.pairs[0]
    shown = [attributes for tag, attributes in page.tags if tag == "img" and attributes.get("src")]
    wanted = [pair.photo, pair.painting, *(result.painted.image for result in pair.results)]
    assert len(shown) == len(wanted) == 7
    for attributes, picture in zip(shown, wanted, strict=True):
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        embedded = Pillow.open(io.BytesIO(base64.b64decode(data)))
        assert embedded.size == picture.size
        assert np.abs(np.asarray(embedded, int) - np.asarray(picture.convert("RGB"), int)).mean() < 4
    without = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", text)
    assert not re.search(r"(https?:)?//\w|@import|url\(|<link|<iframe|fetch\(|XMLHttp", without)
    assert {tag for tag, attributes in page.tags if "src" in attributes} == {"img"}
    assert not any("href" in attributes for _, attributes in page.tags)
    words = "".join(page.text)
    assert "fjörd & <sea> in the manner of painting" in words and "<sea>" not in without
    for result in pair.results:
        assert words.count(result.label) >= 4  # caption, both choices, table
        assert f"{result.scores.style['gram']:.2f}" in words
    charts = [
        attributes for tag, attributes in page.tags if tag == "svg" and "viewbox" in attributes and "role" in attributes
    ]
    assert len(charts) == 2 + 2 * 4  # all runs and each, over evaluations and over seconds


def test_a_chart_draws_what_it_is_given_and_leaves_out_what_has_no_logarithm():
    curve = {
        "evaluation": [1, 2, 3, 4, 5],
        "size_px": [32, 32, 64, 64, 64],
        "seconds": [0.1, 0.2, 0.4, 0.5, 0.6],
        "total": [9.0, 5.0, 4.0, -1.0, 1.0],
        "parts": {"gram relu1_1": [1.0] * 5, "gram relu2_1": [2.0] * 5, "content relu4_2": [0.0] * 5, FENCE: [7.0] * 5},
    }
    (line,) = total_lines({"run": curve}, "evaluation")
    assert (line.label, line.x, line.y) == ("run", [1, 2, 3], [1.0, -0.25, 0.25])
    assert total_lines({"run": curve}, "seconds")[0].x == pytest.approx([0.2, 0.3, 0.4])
    assert {part.label: list(part.y)[:1] for part in part_lines(curve, "seconds")} == {
        "total": [9.0],
        "gram": [3.0],
        "content": [0.0],
    }
    drawn = re.findall(r'<path d="([^"]*)" fill', chart([line], "evaluation", "loss"))
    assert drawn[0].count("M") == 2 and drawn[0].count("L") == 0  # broken at the negative value
    assert chart([], "evaluation", "loss") == ""


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PLAY = """<script>
const [first, second] = document.querySelectorAll("select"), range = document.querySelector(".slider input");
first.value = 6; first.dispatchEvent(new Event("change"));
range.value = 25; range.dispatchEvent(new Event("input"));
const [under, over] = document.querySelectorAll(".slider img"), pictures = document.querySelectorAll(".gallery img");
const seen = [over.alt, under.alt, over.src === pictures[6].src, under.src === pictures[second.value].src,
  getComputedStyle(over).clipPath, document.querySelectorAll(".gallery img").length,
  [...pictures].every((picture) => picture.complete && picture.naturalWidth > 0),
  performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length];
document.body.setAttribute("data-seen", JSON.stringify(seen));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page with; apt-get install chromium")
def test_the_slider_works_in_a_browser(files, tmp_path):
    played = tmp_path / "played.html"
    played.write_text(files[1].read_text().replace("</body>", PLAY))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", played.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Uncaught" not in done.stderr
    seen = next(attributes["data-seen"] for tag, attributes in Page(done.stdout).tags if tag == "body")
    over, under, left, right, clip, count, loaded, asked = json.loads(seen)
    assert (over, under, left, right) == ("adain", "gram, balance 10", True, True)
    assert "75%" in clip and (count, loaded, asked) == (7, True, 0)
