"""The parts of which the pages here are made: one HTML file that asks nobody for anything, its tables and figures.

What is foreign goes through `safe`. Called by the pages here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from shell.wording import clean

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may ask for: nothing."""

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--line:#bbb;--soft:#f2f2f2;--bad:#b00020;--good:#0b6b3a}
@media(prefers-color-scheme:dark){
:root{--ink:#e8e8e8;--paper:#16181b;--line:#555;--soft:#22262b;--bad:#ff8a80;--good:#7fd8a4}}
@media print{:root{--ink:#000;--paper:#fff;--line:#999;--soft:#fff;--bad:#000;--good:#000}
figure,tr{break-inside:avoid}}
body{margin:2rem auto;max-width:62rem;padding:0 1rem;background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,sans-serif}
h1{font-size:1.35rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
p.verdict{font-size:1.1rem;font-weight:600;border-left:.4rem solid;padding:.3rem .8rem;margin:.6rem 0}
p.good{border-color:var(--good)}p.bad{border-color:var(--bad)}
div.wide{overflow-x:auto;margin:.6rem 0}table{border-collapse:collapse;font-size:.88rem}
th,td{padding:.15rem .8rem .15rem 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th:first-child,td:first-child,td.text,th.text{text-align:left}
figure{margin:1.2rem 0;color:var(--ink)}figcaption{font-size:.9rem}svg{display:block;max-width:100%;height:auto}
pre{background:var(--soft);padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.88rem;margin:.5rem 0}
dd{margin:0;overflow-wrap:anywhere}
.no{font-weight:700;color:var(--bad)}
""".strip()


def document(title: str, parts: Sequence[str]) -> str:
    """The whole file. `parts`: HTML; empty ones are left out."""
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def safe(text: str) -> str:
    """Foreign text: no control characters, no markup."""
    return escape(clean(text), quote=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = ()) -> str:
    """`rows` hold HTML. `text`: columns that are not numbers."""
    kinds = [' class="text"' if at in text else "" for at in range(len(heads))]
    top = "".join(f"<th{kind}>{head}</th>" for head, kind in zip(heads, kinds, strict=True))
    lines = ["".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def items(sentences: Sequence[str]) -> str:
    """A list of sentences, which are foreign text."""
    return "<ul>" + "".join(f"<li>{safe(sentence)}</li>" for sentence in sentences) + "</ul>"


def figure(svg: str, caption: str) -> str:
    """A picture with what it says below it."""
    label = f'<svg role="img" aria-label="{safe(caption)}"'
    return f"<figure>{svg.replace('<svg', label, 1)}<figcaption>{safe(caption)}</figcaption></figure>"
