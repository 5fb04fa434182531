"""The page in a real Chromium, where there is one: no error, nothing hidden, and sorting that works."""

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

# Sorts the table of pathologies by its last column, twice, then by name, and says what it saw.
PROBE = """
<script>
const all = (selector) => [...document.querySelectorAll(selector)];
const table = all("table").find((each) => each.caption.textContent.startsWith("AUROC by"));
const shown = (cell) => cell.dataset.sort ?? cell.textContent;
const column = (place) => [...table.tBodies[0].rows].map((row) => shown(row.cells[place]));
const head = (place) => table.tHead.rows[0].cells[place];
const click = (place) => head(place).querySelector("button").click();
const seen = { before: column(1) };
click(1); seen.ascending = column(1); seen.aria = head(1).getAttribute("aria-sort");
click(1); seen.descending = column(1);
click(0); seen.names = column(0);
dispatchEvent(new Event("beforeprint")); seen.folded = all("details:not([open])").length;
seen.figures = all("svg").every((svg) => svg.getBBox().width > 40);
dispatchEvent(new Event("afterprint")); seen.unfolded = all("details[open]").length;
seen.pictures = all("img").every((image) => image.complete && image.naturalWidth > 0);
seen.width = document.documentElement.scrollWidth;
const said = document.createElement("pre");
said.id = "probe";
said.textContent = JSON.stringify(seen);
document.body.append(said);
</script>
"""


def in_chromium(path, *arguments):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", *arguments]
    command += ["--enable-logging=stderr", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture(scope="module")
def opened(usual_run, tmp_path_factory):
    """What the probe saw, and what the console said."""
    # The page's own policy would stop the probe.
    text = re.sub(r"<meta http-equiv=[^>]*>", "", usual_run.page.read_text(encoding="utf-8"))
    path = tmp_path_factory.mktemp("probed") / "index.html"
    path.write_text(text.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    done = in_chromium(path, "--window-size=1280,1000")
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.S)
    return json.loads(found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), done.stderr


def test_the_console_is_silent(usual_run):
    done = in_chromium(usual_run.page)
    assert "CONSOLE" not in done.stderr
    assert "<button" in done.stdout, "the page's policy stops its own script"


def test_numbers_sort_as_numbers_and_undefined_comes_last(opened):
    seen, _ = opened
    numbers = sorted(float(value) for value in seen["before"] if not value.startswith("–"))
    assert len(numbers) == 2
    assert [float(value) for value in seen["ascending"][:2]] == numbers
    assert [float(value) for value in seen["descending"][:2]] == numbers[::-1]
    assert seen["ascending"][2] == seen["descending"][2] == "– no positives"
    assert seen["aria"] == "ascending"
    assert seen["names"] == sorted(seen["names"])


def test_everything_is_drawn_and_unfolds_for_paper(opened):
    seen, console = opened
    assert "CONSOLE" not in console
    assert seen["pictures"] and seen["figures"]
    assert seen["folded"] == 0 and seen["unfolded"] == 2
    assert seen["width"] <= 1280


def test_a_phone_scrolls_down_only(usual_run, tmp_path):
    frame = '<iframe src="{}" style="width:390px;height:3000px" onload="{}"></iframe>'
    measure = "document.title = this.contentWindow.document.documentElement.scrollWidth"
    (tmp_path / "phone.html").write_text(frame.format(usual_run.page.as_uri(), measure), encoding="utf-8")
    done = in_chromium(tmp_path / "phone.html", "--allow-file-access-from-files")
    (width,) = re.findall(r"<title>(\d+)</title>", done.stdout)
    assert int(width) <= 390
