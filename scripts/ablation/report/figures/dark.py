"""The figures on dark pages: each color has another one there, by a style sheet within the SVG.

The colors of the file itself are those of a light page, which is what programs show that know no
style sheets of that kind.
"""

from __future__ import annotations

import re

from ablation.report.figures.figure import GAIN, LOSS

PAPER, TEXT = 0x16, 0xE8  # of 255: the darkest and the lightest gray of a dark page
_COLORED = {GAIN: "#2f6f9f", LOSS: "#a85a1f"}
_COLOR = re.compile(r"#[0-9a-f]{6}")
_STYLE = re.compile(r"<style>@media .*?</style>\s*", re.S)
_ROOT = re.compile(r"<svg [^>]*>")


def on_dark_pages(svg: str) -> str:
    """An SVG with the style sheet that shows it on a dark page when the reader's pages are dark."""
    rules = "".join(dark_rules(svg))
    style = f"<style>@media (prefers-color-scheme: dark) {{{rules}}}</style>"
    return _ROOT.sub(lambda root: f"{root.group()}\n {style}", svg, count=1)


def without_style(svg: str) -> str:
    """An SVG without the style sheet for dark pages, for a page that has one of its own."""
    return _STYLE.sub("", svg, count=1)


def dark_rules(svg: str) -> list[str]:
    """The rules for each color that an SVG has."""
    rules = [f"text{{fill:{_dark('#000000')}}}"]  # what has no color is black
    for color in sorted(set(_COLOR.findall(svg))):
        dark = _dark(color)
        for what in ("fill", "stroke"):
            # Without an ancestor: a marker is a copy, whose ancestors no rule sees.
            written = f'[style*="{what}: {color}"],[{what}="{color}"]'
            rules.append(f"{written}{{{what}:{dark}!important}}")
    return rules


def _dark(color: str) -> str:
    """A color on a dark page: a gray turned round, a color deeper."""
    if color in _COLORED:
        return _COLORED[color]
    gray = round(TEXT - (TEXT - PAPER) * int(color[1:3], 16) / 255)
    return f"#{gray:02x}{gray:02x}{gray:02x}"
