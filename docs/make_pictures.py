"""Make docs/pictures: the live views as SVG, and a report as PNG by Chromium. Run: python docs/make_pictures.py"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))
from scenes import HINT, JOB, OTHERS, at, board_of, estimated, outcome_of

from automl_waiter.display.progress import Progress
from automl_waiter.display.terminal import frame_lines
from automl_waiter.report.facts import report_document
from automl_waiter.report.html import page

PICTURES = HERE / "pictures"
WIDTH = 80
# Background, text, and the eight colours of a terminal: those of GitHub's pages, on which the README stands.
_BRIGHT = [(36, 41, 47), (207, 34, 46), (26, 127, 55), (154, 103, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131)]
_DARK = [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207)]
THEMES = {
    "light": TerminalTheme((246, 248, 250), (31, 35, 40), [*_BRIGHT, (110, 119, 129)]),
    "dark": TerminalTheme((22, 27, 34), (230, 237, 243), [*_DARK, (177, 186, 196)]),
}


def live() -> str:
    """Return the frame of one job with an estimate, with colour escapes."""
    progress, now = at(1700)
    progress.take(estimated(now, left=610))
    return _frame(progress, now)


def several() -> str:
    """Return the frame of several jobs."""
    return _frame(*at(1700, OTHERS))


def _frame(progress: Progress, now: datetime) -> str:
    console = Console(width=WIDTH, height=24, force_terminal=True, color_system="standard", highlight=False)
    return "\n".join(frame_lines(progress, now, console, HINT))


def svg(frame: str, theme: TerminalTheme, name: str) -> str:
    """Return a frame as an SVG that loads nothing."""
    text = Text.from_ansi(frame)
    width = max(map(len, text.plain.splitlines())) + 1
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(text, no_wrap=True, end="\n\n")
    drawn = console.export_svg(title="automl-waiter wait", theme=theme, unique_id=name)
    drawn = re.sub(r"\n\s*@font-face \{.*?\n    \}", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace")
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE)


def report() -> str:
    """Return the report page of a completed job."""
    outcome = outcome_of(JOB, "churn-2026")
    return page(report_document(outcome, outcome.transitions, board_of(outcome, JOB)))


def screenshot(html: str, path: Path, *, is_dark: bool) -> None:
    """Write a picture of a page, as Chromium shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("install Chromium to make the pictures of the report")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "report.html")
        source.write_text(html)
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        words += [f"--user-data-dir={folder}/profile", "--window-size=900,1430", f"--screenshot={path}"]
        words += [f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"]
        subprocess.run([chromium, *words, source.as_uri()], check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, theme in THEMES.items():
        for picture in (live, several):
            path = PICTURES / f"{picture.__name__}-{name}.svg"
            path.write_text(svg(picture(), theme, path.stem))
        screenshot(report(), PICTURES / f"report-{name}.png", is_dark=name == "dark")
