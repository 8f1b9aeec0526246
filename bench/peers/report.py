#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables (Markdown) and a plot (SVG) of the lines that compare.py printed; lines of the same test add up.

usage: report.py FILE.jsonl ... [--floors FLOORS.json] [--plot OUT.svg]
floors: {"model name part": {"pp16": {"best": 4.5, "share": 0.44, "openvino": 1.2}}}; best is against the best peer of the line, a peer's name against
that one."""
import argparse
import json
import statistics

from compare import interval

COLORS = {"llama.cpp": "#8a6d3b", "openvino": "#7b4fa3", "ik_llama.cpp": "#1f6fb2"}
ROW, LEFT, RIGHT, TOP, WIDTH = 20, 190, 30, 46, 860


def merged(paths):
    """Lines of a test as one, pairs one behind the other; a line need not have every engine."""
    out = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for r in map(json.loads, filter(str.strip, f)):
                m = out.setdefault((r["model"], r["test"], r["threads"], r["level"], r["first"]),
                                   {**{k: r[k] for k in ("model", "test", "first")}, "tok_s": {}, "ratios": {}, "shares": []})
                for n, v in r["tok_s"].items():
                    m["tok_s"].setdefault(n, []).extend(v)
                    m["ratios"].setdefault(n, []).extend(a / b for a, b in zip(r["tok_s"][r["first"]], v))
                m["shares"].append(r["share"][r["first"]])
    for m in out.values():
        m["median"] = {n: statistics.median(v) for n, v in m["tok_s"].items()}
        m["ratio"] = {n: interval(v) for n, v in m["ratios"].items() if not n.startswith("aios")}
    return sorted((m for m in out.values() if m["ratio"]), key=lambda m: list(dict.fromkeys(o["model"] for o in out.values())).index(m["model"]))


def floor_of(floors, r, what):
    if r["first"] != "aios":
        return None  # the floors are of the best level on all threads
    rows = next((v for k, v in floors.items() if k in r["model"]), {})
    kind = r["test"].split("x")[-1] if "x" in r["test"] else None
    return rows.get("x" + kind if kind else r["test"][:2] if r["test"].startswith("tg") else r["test"], {}).get(what)


def best_peer(r):
    return max(r["ratio"], key=lambda n: r["median"][n])


def verdict(interval_of, floor):
    """Reached if the whole interval is above the floor; "about" if only the median is."""
    value, low, _ = interval_of
    return f"{floor:g}: {'yes' if low >= floor else 'about' if value >= floor else 'no'}"


def verdicts(floors, r):
    """Against each peer that has a floor of its own, else against the best."""
    own = {n: floor_of(floors, r, n) for n in r["ratio"]}
    rows = [f"{n} {verdict(r['ratio'][n], f)}" for n, f in own.items() if f]
    best = floor_of(floors, r, "best")
    return "; ".join(rows) or (verdict(r["ratio"][best_peer(r)], best) if best else "-")


def table(rows, floors):
    print("| model | test | aios | peers | ratio to the best (90%) | floor | share of the limit | pairs |\n|---|---|---|---|---|---|---|---|")
    for r in rows:
        best = best_peer(r)
        v, lo, hi = r["ratio"][best]
        test = r["test"] + r["first"].removeprefix("aios").replace(":", ", ")
        peers = ", ".join(f"{n} {m:.0f}" for n, m in r["median"].items() if n in r["ratio"])
        share = statistics.median(r["shares"])
        limit = "int8" if r["test"].startswith("pp") else "read"
        print(f"| {r['model'].split('-')[0]} | {test} | {r['median'][r['first']]:.0f} | {peers} | {v:.2f} ({lo:.2f}-{hi:.2f}) {best} | "
              f"{verdicts(floors, r)} | {share:.0%} {limit} | {len(r['ratios'][best])} |")


def plot(rows, floors, path):
    """A line a test: a dot with its interval for each peer, a bar where the floor is."""
    top = max(max(v[2] for r in rows for v in r["ratio"].values()), 1) * 1.05
    def x(ratio):
        return LEFT + (WIDTH - LEFT - RIGHT) * ratio / top
    models = list(dict.fromkeys(r["model"] for r in rows))
    height = TOP + ROW * (len(rows) + len(models)) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#444">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
           f'<text x="{LEFT}" y="18">tokens/s of aios over those of a peer, median of pairs and 90% interval; black bar: floor</text>']
    for i, (name, color) in enumerate(COLORS.items()):
        out.append(f'<circle cx="{LEFT + 6 + 130 * i}" cy="32" r="4" fill="{color}"/><text x="{LEFT + 16 + 130 * i}" y="36">{name}</text>')
    for tick in range(0, int(top) + 1):
        out.append(f'<line x1="{x(tick):.1f}" y1="{TOP}" x2="{x(tick):.1f}" y2="{height - 24}" stroke="{"#888" if tick == 1 else "#ddd"}"/>'
                   f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick}x</text>')
    y, model = TOP, None
    for r in rows:
        if r["model"] != model:
            model, y = r["model"], y + ROW
            out.append(f'<text x="8" y="{y - 5}" font-weight="bold">{model}</text>')
        y += ROW
        out.append(f'<text x="{LEFT - 10}" y="{y - 5}" text-anchor="end">{r["test"]}{r["first"].removeprefix("aios").replace(":", ", ")}</text>')
        floor = floor_of(floors, r, "best")
        if floor:
            out.append(f'<rect x="{x(floor) - 1.5:.1f}" y="{y - 17}" width="3" height="16" fill="#000"/>')
        for name, (v, lo, hi) in r["ratio"].items():
            color = COLORS.get(name, "#2a8a4a")
            out.append(f'<line x1="{x(lo):.1f}" y1="{y - 9}" x2="{x(hi):.1f}" y2="{y - 9}" stroke="{color}" stroke-width="3" opacity="0.45"/>'
                       f'<circle cx="{x(v):.1f}" cy="{y - 9}" r="4" fill="{color}"/>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out + ["</svg>", ""]))


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("files", nargs="+")
    ap.add_argument("--floors")
    ap.add_argument("--plot")
    args = ap.parse_args()
    floors = {}
    if args.floors:
        with open(args.floors, encoding="utf-8") as f:
            floors = json.load(f)
    rows = merged(args.files)
    table(rows, floors)
    if args.plot:
        plot(rows, floors, args.plot)


main()
