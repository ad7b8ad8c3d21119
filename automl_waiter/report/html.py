"""A document in HTML: a fragment for a notebook, or a standalone page."""

from __future__ import annotations

import html
from collections.abc import Iterator

from automl_waiter.report.charts import bars_svg, escaped, plot_svg
from automl_waiter.report.document import Bars, Block, Document, Fact, Facts, Figures, Log, Notes, Plot, Table, Tone

STYLE = """
.amw{--good:#1a7f37;--warning:#9a6700;--bad:#cf222e;--quiet:#6e7781;--line:#8884;--mark:#0969da;
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;max-width:60rem}
.amw .head{font-size:1.35rem;margin:.2em 0 .6em;font-weight:600;overflow-wrap:anywhere}
.amw .title{font-size:1.05rem;margin:1.6em 0 .5em;font-weight:600}
.amw .good{color:var(--good)}.amw .warning{color:var(--warning)}.amw .bad{color:var(--bad)}
.amw .quiet{color:var(--quiet)}
.amw table{border-collapse:collapse;margin:0;font-size:inherit}
.amw .wide{overflow-x:auto}
.amw td{overflow-wrap:anywhere}.amw .wide td{overflow-wrap:break-word}
.amw td,.amw th{padding:.2em 1.2em .2em 0;text-align:left;vertical-align:top;background:none;border:0}
.amw th{font-weight:500;color:var(--quiet);white-space:nowrap}
.amw thead th{border-bottom:1px solid var(--line)}
.amw .number{text-align:right;font-variant-numeric:tabular-nums}
.amw .wide td:not(:last-child),.amw .number{white-space:nowrap}
.amw code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere;background:none}
.amw ul{margin:0;padding-left:1.2em}
.amw .log{max-height:24em;overflow:auto;border-left:3px solid var(--line);padding-left:.8em}
.amw pre{margin:.3em 0 .6em;white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere}
.amw a{color:var(--mark);overflow-wrap:anywhere}
.amw .figures{display:flex;flex-wrap:wrap;gap:.8em 2.4em;margin:0 0 1.2em}
.amw .figures div{display:flex;flex-direction:column-reverse}
.amw .figures b{font-size:1.9rem;line-height:1.2;font-weight:600;font-variant-numeric:tabular-nums}
.amw .figures span{color:var(--quiet)}
.amw .chart{padding:0 .5em}.amw .plot{padding-left:4em}
.amw svg{display:block;overflow:visible}
.amw svg text{fill:currentColor;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.amw svg .faint{fill:var(--quiet)}
.amw svg .bar{fill:var(--mark);stroke:var(--mark)}
.amw svg .unsure{fill:none;stroke:var(--mark);stroke-dasharray:4 3}
.amw svg .axis{stroke:var(--line)}.amw svg .point{fill:var(--mark)}
.amw svg .best{stroke:var(--good);stroke-width:2;stroke-linecap:square}
"""
# A page follows the reader's system.
_PAGE_STYLE = """
.amw svg text{paint-order:stroke;stroke:var(--page);stroke-width:4px}
:root{color-scheme:light dark;--page:#fff;--text:#1f2328}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--text:#e6edf3}
.amw{--good:#3fb950;--warning:#d29922;--bad:#f85149;--quiet:#8b949e;--mark:#58a6ff}}
body{margin:2rem auto;padding:0 1.2rem;max-width:60rem;background:var(--page);color:var(--text)}
@media(max-width:36rem){body{margin:1rem auto;padding:0 .8rem}.amw.page{font-size:13px}
.amw td,.amw th{padding-right:.8em}.amw .figures{gap:.6em 1.6em}.amw .figures b{font-size:1.6rem}
.amw .wide td:not(.number){white-space:normal;overflow-wrap:anywhere;min-width:5.9em}
.amw .wide td:first-child:not(.number),.amw .wide td.number+td:not(.number){min-width:9em}
.amw .wide td:nth-child(7){min-width:12em}}
@media print{body{margin:0;max-width:none}.amw .wide{overflow:visible}.amw svg,.amw tr,.amw li{break-inside:avoid}
.amw h2{break-after:avoid}}
"""
# Readable on light and dark. A notebook that is not trusted yet shows these: Jupyter removes styles with variables.
_COLOURS = {Tone.GOOD: "#1f9d48", Tone.WARNING: "#b87a00", Tone.BAD: "#ea5455", Tone.QUIET: "#808080"}
# A fragment follows the text around it: the notebook's theme need not be the system's, and each marks it differently.
_FRAGMENT_STYLE = f"""
.amw{{{"".join(f"--{tone.value}:color-mix(in srgb,currentColor 25%,{colour});" for tone, colour in _COLOURS.items())}
--mark:color-mix(in srgb,currentColor 25%,#3a8ae8)}}
.amw pre,.amw pre code{{color:inherit;background:none;padding:0;border:0}}
.amw .wide td:not(.number){{white-space:normal}}.amw table+.wide{{margin-top:.8em}}
"""
_BOLD = 'style="font-weight:600"'
_TABLE = '<table style="margin:0;color:inherit">'


def fragment(document: Document) -> str:
    """Return the document as an HTML fragment with its style, in the colours of its surroundings."""
    # No h1 and h2: Jupyter would list them among the notebook's own headings.
    return f'<style>{STYLE}{_FRAGMENT_STYLE}</style><div class="amw">{_body(document, "div", "div")}</div>'


def page(document: Document) -> str:
    """Return the document as a standalone page that loads nothing."""
    title = escaped(f"{document.subject}: {document.head}")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # No text of a job can make the page load or run anything.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{STYLE}{_PAGE_STYLE}</style></head>\n"
        f'<body><main class="amw page">{_body(document, "h1", "h2")}</main></body></html>\n'
    )


def _body(document: Document, head: str, title: str) -> str:
    """Return the document's HTML; `head` and `title` are the elements of its head and of the titles of its blocks."""
    colour = _colour(document.tone)
    words = f'<span class="{document.tone.value}" style="{colour}">{escaped(document.head)}</span>'
    return f'<{head} class="head" {_BOLD}>{escaped(document.subject)}: {words}</{head}>\n' + "\n".join(
        part for block in document.blocks for part in _block(block, title)
    )


def _block(block: Block, title_element: str) -> Iterator[str]:
    if block.title is not None:
        yield f'<{title_element} class="title" {_BOLD}>{escaped(block.title)}</{title_element}>'
    match block:
        case Figures(figures=figures):
            numbers = (f"<div><b>{escaped(one.value)}</b><span>{escaped(one.label)}</span></div>" for one in figures)
            yield f'<div class="figures">{"".join(numbers)}</div>'
        case Facts(facts=facts):
            yield f"{_TABLE}<tbody>{''.join(map(_fact, facts))}</tbody></table>"
        case Table():
            yield f'<div class="wide">{_table(block)}</div>'
        case Notes(notes=notes):
            items = (
                f'<li class="{note.tone.value}">{escaped(note.text)}'
                + (f"<pre><code>{escaped(note.command)}</code></pre>" if note.command else "")
                + "</li>"
                for note in notes
            )
            yield f"<ul>{''.join(items)}</ul>"
        case Log(lines=lines, problem=problem, url=url):
            if lines:
                yield f'<pre class="log"><code>{html.escape(chr(10).join(lines))}</code></pre>'
            if problem is not None:
                yield f'<p class="warning">{escaped(problem)}</p>'
            yield f'<p><a href="{escaped(url)}" rel="noreferrer">{escaped(url)}</a></p>'
        case Bars(bars=bars, title=title):
            yield f'<div class="chart">{bars_svg(bars, title)}</div>'
        case Plot():
            yield f'<div class="chart plot">{plot_svg(block)}</div>'


# Each row and cell carries its own style: those of Jupyter, VS Code and Colab align cells to the right and stripe rows,
# with selectors that outrank a class.
def _row(cells: str) -> str:
    return f'<tr style="background:none">{cells}</tr>'


def _cell(start: str, content: str, tone: Tone = Tone.PLAIN, *, is_number: bool = False) -> str:
    kind, align = (' class="number"', "right") if is_number else ("", "left")
    return f'<{start}{kind} style="text-align:{align};{_colour(tone)}">{content}</{start[:2]}>'


def _colour(tone: Tone) -> str:
    return f"color:{_COLOURS[tone]};color:var(--{tone.value})" if tone in _COLOURS else ""


def _fact(fact: Fact) -> str:
    value = escaped(fact.value)
    if fact.is_code:
        value = f'<code style="background:none;padding:0">{value}</code>'
    if fact.link is not None:
        value = f'<a href="{escaped(fact.link)}" rel="noreferrer">{value}</a>'
    return _row(_cell('th scope="row"', escaped(fact.label), Tone.QUIET) + _cell("td", value, fact.tone))


def _table(table: Table) -> str:
    def row(tag: str, cells: tuple[str, ...], tone: Tone) -> str:
        return _row(
            "".join(
                _cell(tag, escaped(cell), tone, is_number=index in table.numbers) for index, cell in enumerate(cells)
            )
        )

    rows = (row("td", cells, table.tone_of(index)) for index, cells in enumerate(table.rows))
    head = row("th", table.columns, Tone.QUIET)
    return f'{_TABLE}<thead style="background:none">{head}</thead><tbody>{"".join(rows)}</tbody></table>'
