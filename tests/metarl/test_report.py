"""The report is one whole page that needs nothing else, and says what the comparison says."""

import base64
import gzip
import html
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser

import pytest

from metarl.algorithms.baselines_config import RandomConfig
from metarl.cli import main
from metarl.config import EnvConfig, WandbConfig
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.tables import SUMMARY, curve_cells, summary_cells
from metarl.runs.run import open_run
from metarl.util.errors import UserError
from metarl.visual.page import Page
from metarl.visual.report import WORDS, _record, write_report

from .browser import CHROMIUM, SEEN, browser, colors
from .test_compare import MEMORY, a_run

VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """Checks that every tag is closed by its own kind, and gathers ids, links and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.texts, self.scripts, self.buttons = [], [], [], [], {}, []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[key] for key in ("src", "href") if key in attributes]
        self.buttons += [attributes] if tag == "button" else []
        self.script = attributes.get("id") if tag == "script" else None
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[self.script] = data
        elif data.strip():
            self.texts.append(" ".join(data.split()))

    def unpack(self, keys):
        return "".join(gzip.decompress(base64.b64decode(self.scripts[key])).decode() for key in keys.split())


def test_a_page_escapes_what_it_is_given_and_packs_the_rest():
    page = Page("<b>& title")
    page.heading("One <i>")
    page.text("a < b & c", note=True)
    page.lead("what it < says")
    method = "<script>alert(1)</script>"
    page.table(("x", "y<\nz"), [(method, 2)], words=("x",), colours={method: "#111"})
    replays = [f"<html><head></head><script>player()</script><p>{i}</p></html>" for i in range(2)]
    for replay in replays:
        page.replay(replay, 'say "<x>"')
    page.data("numbers", {"a": [1, None]})
    outline = Outline(page.html())
    given = {"<b>& title", "One <i>", "a < b & c", "what it < says", "y<", "z", "2", 'say "<x>"'}
    assert {*given, method} <= set(outline.texts) and 'style="background:#111"' in page.html()
    assert len(set(outline.ids)) == len(outline.ids)
    first, second, save = outline.buttons
    assert [outline.unpack(button["data-replay"]) for button in (first, second)] == replays
    shared = set(first["data-replay"].split()) & set(second["data-replay"].split())
    assert any("player()" in outline.unpack(key) for key in shared)  # it is in the page once
    assert save["data-file"] == "numbers.json" and json.loads(outline.unpack(save["data-data"])) == {"a": [1, None]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    env = EnvConfig(family="Navigation2D", horizon=8)
    return [
        a_run(root / "promp0", env=env),
        a_run(root / "promp1", env=env, seed=1),
        a_run(root / "<rl2>", MEMORY, env=env),
        a_run(root / "random", RandomConfig(), env=env),
    ]


@pytest.fixture(scope="module")
def page(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report.html"
    with pytest.raises(SystemExit) as caught:
        main(["report", *map(str, folders), "--out", str(out)])
    assert not caught.value.code
    return out.read_text()


@pytest.mark.slow
def test_the_page_is_whole_and_fetches_nothing(page):
    outline = Outline(page)
    assert all(link.startswith(("data:", "#")) for link in outline.links)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    own = re.sub(r'<script type="text/plain".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", own)
    assert '<meta name="viewport" content="width=device-width' in page and "@media print" in page


@pytest.mark.slow
def test_the_page_says_what_the_comparison_says(page, folders):
    comparison = compare_runs(folders)
    document = comparison.to_json()
    outline = Outline(page)
    for cells in (*summary_cells(comparison), *curve_cells(comparison)):
        assert all(cell in outline.texts for cell in cells if cell)
    for name in ("Environment", "Held-out tasks", "Replays", "Meta-training", "Provenance", "goal_x", "<rl2>"):
        assert name in outline.texts
    assert document["tasks_sha256"] in " ".join(outline.texts)
    saved = next(button for button in outline.buttons if "data-file" in button)
    assert json.loads(outline.unpack(saved["data-data"])) == document
    figures = [link for link in outline.links if link.startswith("data:image/svg")]
    for link in figures:
        assert base64.b64decode(link.partition(",")[2]).startswith(b"<?xml")
    # adaptation, profiles, both maps, within episodes, and what two methods do in the replays
    assert len(figures) == 7


@pytest.mark.slow
def test_there_is_a_replay_of_the_best_the_median_and_the_worst_task_of_what_adapts(page, folders):
    outline = Outline(page)
    replays = [button for button in outline.buttons if "data-replay" in button]
    assert [button["data-label"] for button in replays] == 2 * [f"Replay, {word} task" for word in WORDS]
    comparison = compare_runs(folders)
    for m, shown in zip(comparison.measured, (replays[:3], replays[3:]), strict=False):
        replay, chosen, seed = _record(comparison, m)
        final = m.final.mean(0)
        assert final[chosen[0]] == final.max() and final[chosen[2]] == final.min()
        assert (final < final[chosen[1]]).sum() == len(final) // 2
        assert replay.tasks == comparison.tasks[chosen] and seed in (0, 1)
        for i, button in enumerate(shown):
            document = outline.unpack(button["data-replay"])
            assert html.escape(replay.caption) in document and document.rstrip().endswith("</html>")
            assert replay.tasks.describe(i) in outline.texts


@pytest.mark.slow
def test_methods_that_were_never_measured_after_adaptation_have_no_replays(folders, tmp_path):
    page = write_report([folders[3]], tmp_path / "report.html").read_text()  # random actions
    assert "Replays" not in Outline(page).texts and "Meta-training" in Outline(page).texts


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_in_a_browser_everything_is_seen_at_the_width_of_a_screen_and_of_a_phone(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page)
    with browser(tmp_path) as (shown, complaints):
        for width in (1200, 390):
            shown.set_viewport_size({"width": width, "height": 900})
            shown.goto(file.as_uri())
            seen = shown.evaluate(SEEN)
            assert seen == {"width": width, "needed": width, "broken": [], "invisible": [], "beyond": []}
        shown.locator("button[data-replay]").first.click()
        replay, until = shown.locator("iframe"), time.monotonic() + 120
        while colors(replay) < 1500:  # text alone has 800, a scene with shadows 2,000 to 4,000
            assert time.monotonic() < until, "the replay draws no scene"
        assert complaints == []


@pytest.mark.slow
def test_the_first_tracked_run_of_a_method_gets_the_report_in_w_and_b(tmp_path):
    quiet = a_run(tmp_path / "a")
    tracked = [a_run(tmp_path / f"t{seed}", MEMORY, seed=seed, wandb=WandbConfig(mode="offline")) for seed in (0, 1)]
    command = [sys.executable, "-m", "metarl.cli", "report", *map(str, [quiet, *tracked])]
    environment = os.environ | {"HOME": str(tmp_path)}
    subprocess.run([*command, "--out", str(tmp_path / "r.html")], check=True, timeout=300, env=environment)
    assert not (quiet / "wandb").exists() and not (tracked[1] / "wandb").exists()
    [folder] = (tracked[0] / "wandb").glob("offline-run-*")
    log = next(folder.glob("*.wandb")).read_bytes()
    assert f"report-{open_run(tracked[0]).id}".encode() in log
    media = folder / "files" / "media"
    assert len(list(media.glob("images/report/held_out-profiles_*.png"))) == 1
    [table] = media.glob("table/report/held_out-summary*.json")
    table = json.loads(table.read_text())
    assert table["columns"] == [head.replace("\n", " ") for head in SUMMARY]
    assert [row[0] for row in table["data"]] == ["ProMP", "RL²"]


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "device").symlink_to(os.devnull)  # a file would take the place of /dev/null itself
    for out in (tmp_path, tmp_path / "none" / "report.html", tmp_path / "device"):
        with pytest.raises(UserError, match="expected a file such as report.html in a folder that exists"):
            write_report([], out)


@pytest.mark.slow
@pytest.mark.parametrize("most", [1_000, 300_000], ids=["of the figures", "of the page"])
def test_a_disk_that_is_full_is_said_in_one_line(folders, page, tmp_path, monkeypatch, capsys, most):
    """A limit on the size of files, which every user can set, stands for the end of the disk."""
    assert len(page) > 300_000
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    out = tmp_path / "out" / "report.html"
    out.parent.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        with pytest.raises(SystemExit) as caught:
            main(["report", *map(str, folders), "--out", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    line = f"metarl: error: --out: {out} cannot be written: File too large; free some space, or choose another file"
    assert caught.value.code == 2 and capsys.readouterr().err.splitlines()[-1] == line
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]
