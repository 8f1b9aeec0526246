#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty questions, each with two tools, the second needing the first one's result. usage: two_step.py MODEL

Prints a line a question and the score; the model needs a tools template (scripts/fetch-model qwen)."""
import json
import os
import subprocess
import sys
import tempfile

AIOS = os.environ.get("AIOS_CLI", "build/cli/aios")

TOOLS = {  # name: (description, argument, its description, {argument: result})
    "find_employee": ("Returns the employee number of a person.", "name", "name of the person",
                      {"Alice": "E-4127", "Bob": "E-2093", "Carol": "E-7781", "David": "E-5510", "Erin": "E-6034", "Frank": "E-1192", "Grace": "E-8846"}),
    "office_of": ("Returns the office room of an employee number.", "number", "employee number such as E-1234",
                  {"E-4127": "room 312", "E-2093": "room 118", "E-7781": "room 905", "E-5510": "room 221", "E-6034": "room 640", "E-1192": "room 077",
                   "E-8846": "room 433"}),
    "order_of": ("Returns the latest order id of a customer.", "customer", "name of the customer",
                 {"Acme": "ORD-551", "Globex": "ORD-872", "Initech": "ORD-304", "Umbrella": "ORD-663", "Hooli": "ORD-918", "Stark": "ORD-127"}),
    "status_of": ("Returns the status of an order id.", "order", "order id such as ORD-100",
                  {"ORD-551": "shipped", "ORD-872": "cancelled", "ORD-304": "delivered", "ORD-663": "waiting for payment", "ORD-918": "returned",
                   "ORD-127": "in production"}),
    "ticket_of": ("Returns the latest support ticket id of a person.", "name", "name of the person",
                  {"Heidi": "TCK-203", "Ivan": "TCK-718", "Judy": "TCK-455", "Karl": "TCK-960", "Laura": "TCK-341", "Mike": "TCK-872", "Nina": "TCK-129"}),
    "state_of": ("Returns the state of a ticket id.", "ticket", "ticket id such as TCK-100",
                 {"TCK-203": "resolved", "TCK-718": "waiting for a spare part", "TCK-455": "rejected", "TCK-960": "escalated", "TCK-341": "open",
                  "TCK-872": "resolved", "TCK-129": "in progress"}),
}
CHAINS = [("find_employee", "office_of", "In which office does {} sit? First find the employee number, then the office of that number."),
          ("order_of", "status_of", "{} asks where their order is. Look up their order id, then tell its status."),
          ("ticket_of", "state_of", "{} asks how their ticket stands. Look up their ticket id, then tell its state.")]
SYSTEM = ("You answer questions with tools. Call one tool at a time. When the first tool has given its result, call the next tool with that result. "
          "When you have the answer, tell it in one sentence.")
TOOL_PROGRAM = "import json,sys; t=json.loads(sys.argv[1]); a=json.load(sys.stdin); v=str(next(iter(a.values()))); print(t.get(v.strip(), 'nothing found for '+v), end='')"


def tool_file(folder, names):
    rows = [{"name": n, "description": d, "effect": "read", "command": [sys.executable, "-c", TOOL_PROGRAM, json.dumps(table)],
             "parameters": {"type": "object", "properties": {arg: {"type": "string", "description": about, "minLength": 1, "maxLength": 40}}, "required": [arg]}}
            for n, (d, arg, about, table) in TOOLS.items() if n in names]
    path = os.path.join(folder, "tools.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(rows, f)
    return path


def questions():
    for first, second, text in CHAINS:
        for key, middle in TOOLS[first][3].items():
            yield text.format(key), (first, key), (second, middle), TOOLS[second][3][middle]


def ask(model, tools, question):
    p = subprocess.run([AIOS, "agent", "-m", model, "--no-builtin", "--tools", tools, "--system", SYSTEM, "--require", "--json", "-n", "160", question],
                       capture_output=True, timeout=600, text=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def right(want, text):
    words = [w for w in want.replace(",", " ").split() if w != "room"]
    return all(w.lower() in text.lower() for w in words)


def main():
    good = total = 0
    with tempfile.TemporaryDirectory() as d:
        for question, first, second, want in list(questions())[:20]:
            evs = ask(sys.argv[1], tool_file(d, (first[0], second[0])), question)
            calls = [(e["name"], next(iter(e["arguments"].values()), "")) for e in evs if e["type"] == "call" and isinstance(e["arguments"], dict)]
            final = evs[-1].get("text", "") if evs and evs[-1]["type"] == "done" else ""
            ok = first in calls and second in calls and right(want, final)
            good += ok
            total += 1
            print("ok  " if ok else "MISS", question[:60], calls, "->", repr(final[:100]), flush=True)
    print(json.dumps({"test": "two_step", "right": good, "of": total}))
    return 0 if good >= 18 else 1


sys.exit(main())
