"""The page as a browser shows it, where one is installed."""

import json
import re
import shutil
import subprocess

import pytest

from maskwise.report import write

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--window-size=400,800",
)
# Only the copy that is measured has a script; the report has none.
PROBE = """<script>
addEventListener("load", () => {
  const sizes = [...document.querySelectorAll("img, svg")].map(node => {
    const box = node.getBoundingClientRect();
    return [box.width, box.height, node.tagName === "IMG" ? node.naturalWidth : 1];
  });
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  const overflow = document.documentElement.scrollWidth - innerWidth;
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify({sizes, loaded, overflow});
  document.body.append(out);
});
</script></body>"""


def open_page(path, profile):
    """Return what the browser measured and its console lines."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, f"the page did not load: {done.stderr[-500:]}"
    return json.loads(found.group(1)), [x for x in done.stderr.splitlines() if "CONSOLE" in x]


@pytest.mark.skipif(BROWSER is None, reason="no chromium installed to open the report in")
def test_pages_render_with_nothing_loaded_and_no_console_error(make, drawn, tmp_path):
    moving = make("images", "b", seed=1, law="scheduled:linear,0.9..0.5")
    runs = [make("images", "a"), moving]
    texts = [make("text", "c"), make("text", "d", seed=1)]
    pages = (("one", runs[:1]), ("moving", runs[1:]), ("both", runs))
    cells = [make("cells", "e")]
    for name, chosen in (*pages, ("text", texts[:1]), ("texts", texts), ("cells", cells)):
        page = write(chosen, tmp_path / f"{name}.html").read_text("utf-8")
        copy = tmp_path / f"{name}-measured.html"
        copy.write_text(page.replace("</body>", PROBE))
        seen, console = open_page(copy, tmp_path / "profile")
        assert console == []
        assert len(seen["sizes"]) == page.count("<img ") + page.count("<svg ") > 0
        assert all(min(size) > 0 for size in seen["sizes"])
        assert min(width for width, _, _ in seen["sizes"]) > 200
        assert [name for name in seen["loaded"] if not name.startswith("data:")] == []
        assert seen["overflow"] <= 0
