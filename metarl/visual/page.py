"""Pieces of a self-contained HTML page: text, tables, figures, replays and data in one file that fetches nothing.

    page = Page("HalfCheetahMass")
    page.heading("Comparison")
    page.table(("method", "return"), [("ProMP", "428")])
    page.figure(figure, "Return against experience, a line for each method.")
    page.replay(document, "ProMP")             # of metarl.visual.html: loaded when it is asked for
    page.data("held_out", {"returns": [1.0]})  # offered as a download
    page.html()

Everything put in as text is escaped. The page is readable at the width of a phone, where wide tables are scrolled
by themselves, and prints without its buttons and replays.
"""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from metarl.visual.figures import STYLE

PHONE, SCREEN = 52, 95  # pixels of an inch of a figure: at least, and where there is room

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{ color-scheme: light }}
body {{ margin: 0 auto; max-width: 64rem; padding: 1rem; color: #222; background: #fff;
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word }}
h1 {{ font-size: 1.8rem; line-height: 1.2; margin: .5rem 0 }}
h2 {{ font-size: 1.35rem; margin: 2.6rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ccc }}
h3 {{ font-size: 1.05rem; margin: 1.8rem 0 .3rem }}
p {{ margin: .5rem 0; max-width: 46rem }}
.lead {{ margin: 1rem 0; padding: .6rem 1rem; border-left: 4px solid #0072b2; background: #f4f7fa; max-width: 50rem }}
.lead p {{ margin: .2rem 0; max-width: none }}
.lead p:first-child {{ font-weight: 600 }}
.note {{ color: #666; font-size: .87rem }}
nav a {{ margin-right: 1rem; white-space: nowrap }}
a {{ color: #0072b2 }}
.wide {{ overflow-x: auto; margin: .6rem 0 }}
table {{ border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #e4e4e4 }}
th {{ border-bottom: 2px solid #999; vertical-align: bottom }}
th:first-child, td:first-child, td.words, th.words {{ text-align: left }}
td.words {{ white-space: normal; min-width: 12rem }}
td i {{ display: inline-block; width: .7rem; height: .7rem; margin-right: .45rem; border-radius: 50% }}
figure {{ margin: 1.2rem 0; break-inside: avoid }}
figure img {{ height: auto; display: block }}
figcaption {{ color: #666; font-size: .87rem; max-width: 50rem }}
button {{ font: inherit; padding: .45rem .9rem; margin: .2rem .4rem .2rem 0; border: 1px solid #0072b2;
  border-radius: .3rem; color: #0072b2; background: #fff; cursor: pointer }}
iframe {{ width: 100%; height: min(70vh, 44rem); border: 1px solid #ccc }}
@media (max-width: 40rem) {{ iframe {{ zoom: .5; height: auto; aspect-ratio: 8 / 5 }} }}
@media print {{
  body {{ max-width: none; font-size: 11pt; padding: 0 }}
  button, nav, .replay, .screen {{ display: none }}
  .wide {{ overflow: visible }}
  figure img {{ min-width: 0 !important; max-width: 100% }}
  table {{ font-size: 7.5pt }}
  th, td {{ padding: .15rem .35rem }}
  h2, h3 {{ break-after: avoid }}
  tr {{ break-inside: avoid }}
}}
</style>
</head>
<body>
"""

_SCRIPT = """<script>
async function unpack(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), c => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
for (const button of document.querySelectorAll("button[data-replay]")) {
  button.addEventListener("click", async () => {
    const place = button.nextElementSibling;
    if (place.firstChild) { place.replaceChildren(); button.textContent = button.dataset.label; return; }
    const frame = document.createElement("iframe");
    frame.title = button.dataset.label;
    frame.srcdoc = (await Promise.all(button.dataset.replay.split(" ").map(unpack))).join("");
    place.replaceChildren(frame);
    button.textContent = "Close";
  });
}
for (const button of document.querySelectorAll("button[data-file]")) {
  button.addEventListener("click", async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await unpack(button.dataset.data)], {type: "application/json"}));
    link.download = button.dataset.file;
    link.click();
  });
}
</script>
"""


class Page:
    """Grows from top to bottom."""

    def __init__(self, title: str):
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>\n"]
        self._sections: list[str] = []
        self._packed: dict[str, str] = {}

    def heading(self, text: str, level: int = 2) -> None:
        anchor = ""
        if level == 2:
            self._sections.append(text)
            anchor = f' id="s{len(self._sections)}"'
        self._parts.append(f"<h{level}{anchor}>{html.escape(text)}</h{level}>\n")

    def text(self, *paragraphs: str, note: bool = False) -> None:
        kind = ' class="note"' if note else ""
        self._parts += [f"<p{kind}>{html.escape(paragraph)}</p>\n" for paragraph in paragraphs]

    def lead(self, *paragraphs: str) -> None:
        """What the page says, in a few lines that catch the eye; the first is their title."""
        text = "".join(f"<p>{html.escape(paragraph)}</p>\n" for paragraph in paragraphs)
        self._parts.append(f'<div class="lead">\n{text}</div>\n')

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        words: Iterable[str] = (),
        colours: Mapping[str, str] | None = None,
    ) -> None:
        """A table of numbers.

        Args:
            columns: heads; one with a line break has two lines.
            words: the columns of prose, which is wrapped.
            colours: of first cells: what they name has this colour in the figures.
        """
        prose = [column in set(words) for column in columns]
        kinds = [" class=words" * p for p in prose]
        heads = (html.escape(column).replace("\n", "<br>") for column in columns)
        head = "".join(f"<th{kind}>{text}</th>" for text, kind in zip(heads, kinds, strict=True))
        body = ""
        for first, *others in rows:
            shade = (colours or {}).get(str(first))
            cells = [f'<i style="background:{shade}"></i>' * bool(shade) + html.escape(str(first))]
            cells += [html.escape(str(cell)) for cell in others]
            line = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True))
            body += f"<tr>{line}</tr>\n"
        self._parts.append(f'<div class="wide" tabindex="0"><table>\n<tr>{head}</tr>\n{body}</table></div>\n')

    def figure(self, figure: Figure, caption: str) -> None:
        content = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(content, format="svg", metadata={"Date": None})
        encoded, text = base64.b64encode(content.getvalue()).decode(), html.escape(caption)
        inches = figure.get_figwidth()
        least, width = f"{PHONE * inches:.0f}px", f"min(100%, {SCREEN * inches:.0f}px)"
        self._parts.append(
            f'<figure><div class="wide"><img alt="{text}" style="min-width: {least}; width: {width}"'
            f' src="data:image/svg+xml;base64,{encoded}"></div><figcaption>{text}</figcaption></figure>\n'
        )

    def replay(self, document: str, label: str) -> None:
        """A page of its own within this one, unpacked when its button is pressed.

        Its scripts are kept apart: the player is the same in all replays, and is in the page once.
        """
        keys = " ".join(self._pack(part) for part in re.split("(?=<script)|(?=</script>)", document) if part)
        label = html.escape(label)
        self._parts.append(
            f'<div class="replay"><button type="button" data-replay="{keys}" data-label="{label}">{label}</button>'
            "<div></div></div>\n"
        )

    def data(self, name: str, document: dict[str, Any]) -> None:
        """A button that saves it as name.json."""
        key, name = self._pack(json.dumps(document, allow_nan=False)), html.escape(f"{name}.json")
        self._parts.append(f'<button type="button" data-data="{key}" data-file="{name}">Save {name}</button>\n')

    def html(self) -> str:
        links = "".join(f'<a href="#s{i + 1}">{html.escape(text)}</a> ' for i, text in enumerate(self._sections))
        title, rest = self._parts[0], self._parts[1:]
        packed = (f'<script type="text/plain" id="{key}">{_compressed(document)}</script>\n'
                  for document, key in self._packed.items())  # fmt: skip
        body = [title, f"<nav>{links}</nav>\n", *rest, *packed, _SCRIPT, "</body>\n</html>\n"]
        return _HEAD.format(title=html.escape(self.title)) + "".join(body)

    def _pack(self, document: str) -> str:
        """Kept at the end of the page, compressed and once; returns its id."""
        if document not in self._packed:
            self._packed[document] = f"p{len(self._packed) + 1}"
        return self._packed[document]


def _compressed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
