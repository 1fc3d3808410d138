"""How wide Korean letters are, on machines that have no Korean font.

Text stays text in the figures, so that no font is needed to draw them; but labels are placed by
their widths. All letters of Hangul are equally wide, so a font without shapes says enough.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph
from matplotlib import font_manager

from ablation.report.figures.figure import HANGUL

_EM, _WIDTH, _ASCENT = 1000, 920, 880  # as Noto Sans KR has them
_LETTERS = (range(0x1100, 0x1200), range(0x3130, 0x3190), range(0xAC00, 0xD7A4))


@cache
def know_hangul() -> tempfile.TemporaryDirectory[str]:
    """Tell matplotlib how wide Hangul is; the folder of the font lasts as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="hangul-")
    for style, weight in (("Regular", 400), ("Bold", 700)):
        path = Path(folder.name) / f"hangul-{style}.ttf"
        _build(path, style, weight)
        font_manager.fontManager.addfont(path)
    return folder


def _build(path: Path, style: str, weight: int) -> None:
    glyphs = [".notdef", "hangul"]
    font = FontBuilder(_EM, isTTF=True)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({letter: "hangul" for letters in _LETTERS for letter in letters})
    font.setupGlyf({name: Glyph() for name in glyphs})
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (_WIDTH, 0)))
    font.setupHorizontalHeader(ascent=_ASCENT, descent=_ASCENT - _EM)
    font.setupNameTable({"familyName": HANGUL, "styleName": style})
    font.setupOS2(usWeightClass=weight, sTypoAscender=_ASCENT, sTypoDescender=_ASCENT - _EM)
    font.setupPost()
    font.save(path)
