"""The chart that README shows, as SVG: bars for throughput, marks for latency.

Written by hand, since a plotting library would be a hundred megabytes for some rectangles. Readable
on a light and a dark page: the background is part of the picture.
"""

import math
from xml.sax.saxutils import escape

WIDTH = 860
LEFT = 210  # of the bars; names stand before it
RIGHT = 770
ROW = 24

COLOURS = {"bare publisher": "#9aa5b1", "relay, `delete`": "#1a7f5a", "relay, `mark`": "#2f9e77",
           "poller, row locks": "#c98a2b", "poller, lease columns": "#b0562f",
           "poller, row locks, full pages": "#c98a2b", "poller, lease columns, full pages": "#b0562f",
           "p50": "#2f9e77", "p99": "#c98a2b", "p99.9": "#b0562f"}


class Canvas:
    def __init__(self):
        self.parts = []
        self.y = 16

    def text(self, x, y, words, size=12, anchor="start", weight="normal", colour="#1f2933"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
                          f'text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>')

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
                          f'height="{height}" rx="2" fill="{colour}"/>')

    def line(self, x1, y1, x2, y2, colour="#1f2933", width=1.2):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{colour}" stroke-width="{width}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')

    def title(self, words, detail):
        self.y += 14
        self.text(16, self.y, words, 15, weight="bold")
        self.y += 17
        self.text(16, self.y, detail, 11, colour="#52606d")
        self.y += 10

    def svg(self):
        height = self.y + 12
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n'
                f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
                + "\n".join(self.parts) + "\n</svg>\n")


def draw(sections):
    canvas = Canvas()
    if "backlog" in sections:
        _backlog(canvas, sections["backlog"])
    if "latency" in sections:
        _latency(canvas, sections["latency"])
    return canvas.svg()


def _backlog(canvas, section):
    rows = section["tables"][0]["rows"]
    canvas.title(f"{section['title']}: messages a second",
                 f"{section['settings']}; bar: median, line: lowest to highest; "
                 f"{section['run']['date']}, {section['run']['machine'].split(',')[0]}, "
                 f"load before: {section['run']['load before']}")
    most = max(row[3]["high"] for row in rows)
    for kind in dict.fromkeys(row[0] for row in rows):
        canvas.y += 18
        canvas.text(16, canvas.y, f"{kind} queue", 12, weight="bold")
        canvas.y += 6
        for row in (row for row in rows if row[0] == kind):
            _bar(canvas, row[2], row[3], row[4], most)


def _bar(canvas, name, rate, ratio, most):
    def x(value):
        return LEFT + value / most * (RIGHT - LEFT - 130)
    middle = canvas.y + ROW / 2
    canvas.text(LEFT - 8, middle + 4, name.replace("`", ""), anchor="end")
    canvas.bar(LEFT, canvas.y + 3, x(rate["median"]) - LEFT, ROW - 6, COLOURS.get(name, "#7b8794"))
    canvas.line(x(rate["low"]), middle, x(rate["high"]), middle)
    for end in ("low", "high"):
        canvas.line(x(rate[end]), middle - 4, x(rate[end]), middle + 4)
    canvas.text(max(x(rate["high"]), x(rate["median"])) + 8, middle + 4,
                f"{rate['median']:,.0f}/s   {ratio['median']:.2f} × bare")
    canvas.y += ROW


# Milliseconds; the axis is logarithmic.
_TICKS = (0.1, 1, 10, 100, 1000, 10000)


def _latency(canvas, section):
    def x(ms):
        low, high = math.log10(_TICKS[0]), math.log10(_TICKS[-1])
        return LEFT + (math.log10(min(max(ms, _TICKS[0]), _TICKS[-1])) - low) / (high - low) \
            * (RIGHT - LEFT)

    canvas.y += 14
    canvas.title("Latency from commit to consumer",
                 f"{section['settings']}; medians of the turns; logarithmic")
    for n, name in enumerate(("p50", "p99", "p99.9")):
        canvas.dot(LEFT + 12 + 70 * n, canvas.y + 10, COLOURS[name])
        canvas.text(LEFT + 22 + 70 * n, canvas.y + 14, name)
    canvas.y += 24
    top = canvas.y
    rows = section["tables"][0]["rows"]
    for row in rows:
        middle = canvas.y + ROW / 2
        canvas.text(LEFT - 8, middle + 4, f"{row[1]}, {row[0]:,}/s", anchor="end")
        canvas.line(x(row[3]["median"]), middle, x(row[5]["median"]), middle, "#cbd2d9", 3)
        for value, name in zip(row[3:6], ("p50", "p99", "p99.9")):
            canvas.dot(x(value["median"]), middle, COLOURS[name])
        canvas.y += ROW
    for tick in _TICKS:
        canvas.parts.insert(0, f'<line x1="{x(tick):.1f}" y1="{top}" x2="{x(tick):.1f}" '
                               f'y2="{canvas.y}" stroke="#e4e7eb"/>')
        canvas.text(x(tick), canvas.y + 14, f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s",
                    11, "middle", colour="#52606d")
    canvas.y += 18
