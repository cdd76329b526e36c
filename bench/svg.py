"""Small pictures in SVG, drawn by hand: bars on a logarithmic scale, and curves.

Takes numbers and words, gives the text of one file. No library and no script inside, so a README can show it; black on
white, because a page may be dark. Called by the report and by the capacity tool.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 760
_FONT = "font-family='system-ui, sans-serif'"
_OURS, _OTHERS, _FLOOR = "#1a7f5a", "#8a94a6", "#c7cdd8"
_PALETTE = ("#1a7f5a", "#2f6fbf", "#c2571a", "#8446b5", "#a33b56", "#5b6b1f")


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind`: "ours", "floor" or "other"."""

    label: str
    value: float
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    points: Sequence[tuple[float, float]]


def bars(title: str, unit: str, entries: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic scale; `unit` stands behind each number."""
    left, top, step = 190, 56, 28
    room = _WIDTH - left - 110
    low = math.log10(min(entry.value for entry in entries)) - 0.3
    high = math.log10(max(entry.value for entry in entries))
    out = [_text(16, 28, title, 16, weight="600")]
    for i, entry in enumerate(entries):
        y = top + i * step
        width = max(2.0, (math.log10(entry.value) - low) / max(high - low, 0.1) * room)
        colour = {"ours": _OURS, "floor": _FLOOR}.get(entry.kind, _OTHERS)
        weight = "600" if entry.kind == "ours" else "400"
        out.append(_text(left - 10, y + 14, entry.label, 13, anchor="end", weight=weight))
        out.append(f"<rect x='{left}' y='{y}' width='{width:.1f}' height='20' rx='2' fill='{colour}'/>")
        out.append(_text(left + width + 8, y + 14, f"{short(entry.value)} {unit}", 13, weight=weight))
    out.append(_text(left, top + len(entries) * step + 16, "logarithmic scale", 11, colour="#5a6372"))
    return _file(title, top + len(entries) * step + 32, out)


def curves(title: str, across: str, up: str, lines: Sequence[Curve]) -> str:
    """Curves over two logarithmic axes; `across` and `up` name them."""
    left, top, width, height = 70, 50, _WIDTH - 230, 320
    points = [point for line in lines for point in line.points if point[0] > 0 and point[1] > 0]
    if not points:
        raise ValueError("nothing to draw")
    x_axis = _decades([x for x, _ in points])
    y_axis = _decades([y for _, y in points])

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (math.log10(x) - x_axis[0]) / (x_axis[1] - x_axis[0]) * width,
            top + height - (math.log10(y) - y_axis[0]) / (y_axis[1] - y_axis[0]) * height,
        )

    out = [_text(16, 28, title, 16, weight="600")]
    for tick in _ticks(*x_axis):
        x, _ = place(tick, 10 ** y_axis[0])
        out.append(f"<line x1='{x:.1f}' y1='{top}' x2='{x:.1f}' y2='{top + height}' stroke='#e3e6ec'/>")
        out.append(_text(x, top + height + 18, short(tick), 12, anchor="middle"))
    for tick in _ticks(*y_axis):
        _, y = place(10 ** x_axis[0], tick)
        out.append(f"<line x1='{left}' y1='{y:.1f}' x2='{left + width}' y2='{y:.1f}' stroke='#e3e6ec'/>")
        out.append(_text(left - 8, y + 4, short(tick), 12, anchor="end"))
    out.append(f"<rect x='{left}' y='{top}' width='{width}' height='{height}' fill='none' stroke='#9aa3b2'/>")
    for i, line in enumerate(lines):
        colour = _PALETTE[i % len(_PALETTE)]
        at = [place(x, y) for x, y in line.points if x > 0 and y > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        out.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        out += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in at]
        out.append(f"<rect x='{left + width + 16}' y='{top + i * 22}' width='12' height='12' fill='{colour}'/>")
        out.append(_text(left + width + 34, top + i * 22 + 11, line.label, 12))
    out.append(_text(left + width / 2, top + height + 40, across, 13, anchor="middle"))
    out.append(_text(16, top - 8, up, 12, colour="#5a6372"))
    return _file(title, top + height + 56, out)


def short(value: float) -> str:
    """A number with about three digits: 6.84, 127, 2,490, 18k."""
    if value >= 10000:
        return f"{value / 1000:,.0f}k"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The range of an axis, in powers of ten, a little wider than the values."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return low - 0.1, max(high + 0.1, low + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Powers of ten within an axis; on a short one also their doubles and fives."""
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _text(
    x: float, y: float, words: str, size: int, anchor: str = "start", weight: str = "400", colour: str = "#1d2430"
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' font-weight='{weight}' "
        f"fill='{colour}'>{escape(words)}</text>"
    )


def _file(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height:.0f}' "
        f"viewBox='0 0 {_WIDTH} {height:.0f}' role='img' {_FONT}>\n<title>{escape(title)}</title>\n"
        f"<rect width='100%' height='100%' rx='6' fill='#ffffff'/>\n" + "\n".join(parts) + "\n</svg>\n"
    )
