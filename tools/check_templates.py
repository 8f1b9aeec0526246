#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the chat template renderer with Python's jinja2, set up as transformers does, byte for byte.

  check_templates.py TMPL_DUMP [--templates DIR] [--gguf FILE ...] [--fuzz N] [--seed S] [-v]

TMPL_DUMP is the program built from tests/e2e/tmpl_dump.c. Needs jinja2; --gguf needs the gguf package.
"""
import argparse
import collections
import datetime
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = 1767225600  # 2026-01-01 00:00 UTC


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _support(self, context, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW).strftime(f)
    return env


def expect(env, source, variables, compiled={}):
    try:
        if source not in compiled:
            compiled.clear()
            compiled[source] = env.from_string(source)
        return 0, compiled[source].render(**variables)
    except RecursionError:
        raise
    except Exception as e:
        return 1, "%s: %s" % (type(e).__name__, e)


def actual(dump, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as f:
        json.dump([[c[0], c[1], NOW * 1000000] for c in cases], f, ensure_ascii=False)
        f.flush()
        p = subprocess.run([dump, "--batch", f.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = p.stdout.decode().split("\n")[:-1]
    if len(lines) != len(cases):
        sys.exit("%s stopped after %d of %d cases: rc %d %s" % (dump, len(lines), len(cases), p.returncode, p.stderr.decode()))
    return [json.loads(x) for x in lines]


# ---- conversations ----------------------------------------------------------------------------------------------------

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"place\" <now>", "parameters": {
    "type": "object", "properties": {"place": {"type": "string", "description": "A town, e.g. Zürich"}, "unit": {"type": "string", "enum": ["C", "F"]},
                                     "days": {"type": "integer", "default": 3}, "where": {"type": "object", "properties": {"lat": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["lat"]}},
    "required": ["place"]}}}
NOARGS = {"type": "function", "function": {"name": "ping", "description": "No arguments", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, ident):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    nested = {"place": "São Paulo", "where": {"lat": -23.5, "tags": ["a", "b\n"]}, "days": 2, "flag": True, "none": None}
    user, sysm = {"role": "user", "content": "Hello"}, {"role": "system", "content": "You are terse."}
    used = [user, {"role": "assistant", "content": "", "tool_calls": [call("get_weather", nested, "call00001")]},
            {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "{\"temp\": 21.5}"},
            {"role": "assistant", "content": "It is 21.5 degrees."}]
    yield "user", [user], None
    yield "system", [sysm, user], None
    yield "turns", [sysm, user, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "  and\n\nmore \n"}], None
    yield "unicode", [{"role": "user", "content": "Grüße, 世界 🎉 \u00a0x\u2028'quoted' \"double\" \\ back {{ x }} {% y %} <|im_end|>"}], None
    yield "empty", [{"role": "user", "content": ""}], None
    yield "none", [], None
    yield "thinking", [user, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes", "reasoning_content": "hm hm"}, {"role": "user", "content": "so?"}], None
    yield "parts", [{"role": "user", "content": [{"type": "text", "text": "look: "}, {"type": "image", "image": "x"}, {"type": "text", "text": "what?"}]}], None
    yield "tools", [sysm, user], [WEATHER, NOARGS]
    yield "call", used, [WEATHER]
    yield "call next", used + [{"role": "user", "content": "And Bern?"}], [WEATHER, NOARGS]
    yield "pending", used[:3], [WEATHER]
    two = [user, {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"place": "A"}, "call00001"), call("ping", {}, "call00002")]},
           {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": "1"},
           {"role": "tool", "name": "ping", "tool_call_id": "call00002", "content": "pong\n"}]
    yield "two calls", [sysm] + two, [WEATHER, NOARGS]
    text = [dict(m) for m in two]
    text[1] = {"role": "assistant", "content": "Let me see.", "tool_calls": [call("get_weather", "{\"place\": \"A\"}", "call00001")]}
    yield "string arguments", text[:3], [WEATHER]
    yield "developer", [{"role": "developer", "content": "Rules."}, user], [WEATHER]
    yield "bad role", [{"role": "alien", "content": "?"}], None
    yield "two users", [user, user], None


def template_cases(sources):
    for name, source in sources:
        for label, messages, tools in conversations():
            for prompt in (False, True):
                for extra in ({}, {"enable_thinking": False, "documents": [], "date_string": "1 Jan 2026"}):
                    v = {"messages": messages, "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", **extra}
                    if tools is not None:
                        v["tools"] = tools
                    yield name, label, source, v


# ---- fuzz ----------------------------------------------------------------------------------------------------------------

VARS = {"i": 7, "z": 0, "m": -3, "f": 2.5, "g": -0.125, "t": True, "n": None, "s": "Hello World", "e": "", "u": "Straße Ünï 世界 éß", "w": "  a  b\tc\n",
        "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "le": [], "lm": [1, "x", None, True, 2.0, ["q'", "d\"'"], {"k": "v"}],
        "d": {"b": 1, "a": [1, 2], "C": "x", "items": 5}, "rows": [{"name": "bo", "n": 2}, {"name": "Al", "n": 1}, {"name": "cy"}], "x": "a,b,,c"}
TESTS0 = "defined undefined none string mapping sequence iterable number integer float boolean true false callable odd even lower upper".split()


class Grammar:
    def __init__(self, rng):
        self.r = rng

    def pick(self, *a):
        return self.r.choice(a)

    def atom(self):
        return self.pick(*VARS, *VARS, "missing", "1", "0", "2", "-1", "10", "3.0", "1.5", "1e3", "'abc'", "'a'", '"it\'s"', "' '", "''", "true", "none", "[]", "[1, 'a']",
                         "{}", "{'a': 1, 'b': 'x'}", "(1, 2)", "(1,)", "range(5)", "range(4, 0, -2)", "'é\\n'", "'%s-%d'", "'{}:{}'", "d.a", "d['C']", "d.nope", "rows[0].name", "lm[5]")

    def method(self, d):
        e = self.expr(d - 1)
        return self.pick(
            "%s.strip()", "%s.strip('Hd ')", "%s.lstrip()", "%s.rstrip('\\n')", "%s.split()", "%s.split(',')", "%s.split('l', 1)", "%s.rsplit(None, 1)", "%s.splitlines()", "%s.upper()", "%s.lower()",
            "%s.title()", "%s.capitalize()", "%s.swapcase()", "%s.startswith('H')", "%s.endswith(('d', 'c'))", "%s.replace('l', 'LL')", "%s.replace('', '-')", "%s.find('o')", "%s.rfind('o', 2)",
            "%s.count('l')", "%s.index('l')", "%s.join(ls)", "%s.isdigit()", "%s.isalpha()", "%s.isspace()", "%s.isupper()", "%s.zfill(6)", "%s.center(15, '*')", "%s.ljust(9)", "%s.removeprefix('He')",
            "%s.partition('o')", "%s.format(1, 'b')", "%s.keys()", "%s.values()|list", "%s.items()", "%s.get('a')", "%s.get('zz', 4)", "%s.append(1)", "%s.copy()", "%s.update({})", "%s.__class__", "%s.istitle()", "%s.casefold()") % self.wrap(e)

    def wrap(self, e):
        return e if e.replace("_", "a").isalnum() and not e[0].isdigit() else "(%s)" % e

    def filter(self, d):
        e = self.wrap(self.expr(d - 1))
        return self.pick(
            "%s|length", "%s|upper", "%s|lower", "%s|title", "%s|capitalize", "%s|trim", "%s|trim('H')", "%s|replace('l', 'r')", "%s|replace(1, 2)", "%s|default('dflt')", "%s|default('x', true)", "%s|first", "%s|last",
            "%s|list", "%s|join", "%s|join(', ')", "%s|sort", "%s|sort(reverse=true)", "%s|sort(attribute='name')", "%s|reverse|list", "%s|unique|list", "%s|int", "%s|int(9)", "%s|float", "%s|string", "%s|abs",
            "%s|round", "%s|round(1)", "%s|round(1, 'floor')", "%s|sum", "%s|sum(attribute='n')", "%s|min", "%s|max", "%s|tojson", "%s|tojson(indent=2)", "%s|tojson(sort_keys=true)", "%s|tojson(separators=(',', ':'))", "%s|tojson(true)",
            "%s|dictsort", "%s|dictsort(by='value')", "%s|items|list", "%s|map('upper')|list", "%s|map(attribute='name')|list", "%s|map(attribute='n', default=0)|list", "%s|select|list", "%s|select('odd')|list", "%s|reject('none')|list",
            "%s|selectattr('n')|list", "%s|selectattr('n', 'gt', 1)|list", "%s|rejectattr('n', 'defined')|list", "%s|batch(2)|list", "%s|batch(2, 'f')|list", "%s|slice(2)|list", "%s|wordcount", "%s|truncate(8)", "%s|truncate(5, true, '')",
            "%s|indent", "%s|indent(2, true)", "%s|e", "%s|format(1, 2)", "%s|count", "%s|center(12)", "%s|groupby('n')", "%s|attr('a')", "%s|map('int')|sum", "%s|select('string')|join('+')", "%s|safe") % e

    def test(self, d):
        e = self.wrap(self.expr(d - 1))
        return self.pick("%s is " + self.pick(*TESTS0), "%s is not " + self.pick(*TESTS0), "%s is eq 1", "%s is sameas none", "%s is divisibleby 2", "%s is in [1, 'a', none]", "%s is ge 1") % e

    def expr(self, d):
        if d <= 0:
            return self.atom()
        k = self.r.randrange(14)
        a, b = self.expr(d - 1), self.expr(d - 1)
        if k < 2:
            return self.filter(d)
        if k == 2:
            return self.method(d)
        if k == 3:
            return self.test(d)
        if k == 4:
            return "%s %s %s" % (self.wrap(a), self.pick("+", "-", "*", "/", "//", "%", "+", "*"), self.wrap(b))
        if k == 5:
            return "%s %s %s" % (self.wrap(a), self.pick("==", "!=", "<", ">=", "in", "not in"), self.wrap(b))
        if k == 6:
            return "%s %s %s" % (a, self.pick("and", "or"), b)
        if k == 7:
            return "not %s" % a
        if k == 8:
            return "%s ~ %s" % (self.wrap(a), self.wrap(b))
        if k == 9:
            return "%s if %s else %s" % (self.wrap(a), b, self.atom())
        if k == 10:
            return "%s[%s]" % (self.wrap(a), self.pick("0", "-1", "1:", ":2", "::-1", "1:-1", "::2", "-3:", "'a'", "5", "-4::-1"))
        if k == 11:
            return "[%s, %s]" % (a, b)
        if k == 12:
            return "{'k': %s}" % a
        return "%s < %s <= %s" % (self.wrap(self.atom()), self.wrap(a), self.wrap(b))

    def statement(self):
        e = self.expr(2)
        ws = lambda: self.pick("", "", "-", "+")
        nl = lambda: self.pick("", "\n", "  \n  ", " ")
        body = "{{ %s }}" % self.expr(1)
        form = self.r.randrange(7)
        if form == 0:
            return "A%s{%%%s if %s %s%%}%s%s%s{%% else %s%%}%sB{%%%s endif %%}%sC" % (nl(), ws(), e, ws(), nl(), body, nl(), ws(), nl(), ws(), nl())
        if form == 1:
            return "%s{%%%s for q in %s %s%%}%s{{ loop.index }}{{ loop.last }}{{ q }}%s{%%%s else %%}none{%% endfor %s%%}%s!" % (nl(), ws(), self.pick("l", "ls", "d", "rows", "le", "range(3)", "s", e), ws(), nl(), nl(), ws(), ws(), nl())
        if form == 2:
            return "{%% set v = %s %%}%s{%% for q in l if q > 1 %%}{%% set v = q %%}{{ v }}{%% endfor %%}{{ v }}{%%- set ns = namespace(a=%s) -%%}  {%% set ns.a = 5 %%}{{ ns.a }}" % (e, nl(), self.atom())
        if form == 3:
            return "{%% macro mm(a, b=%s) -%%} [{{ a }}|{{ b }}]{{ caller() if caller }} {%%- endmacro %%}{{ mm(%s) }}%s{%% call mm(1) %%}in{{ i }}{%% endcall %%}" % (self.atom(), e, nl())
        if form == 4:
            return "{%% filter upper %%}ab{{ %s }}{%% endfilter %%}{#%s c %s#}%s{%% set blk %%} x {{ i }}{%% endset %%}[{{ blk }}]" % (e, ws(), self.pick("", "-"), nl())
        if form == 5:
            return "%s{%%%s raw %%}{{ no }}%s{%% endraw %s%%}%s{{%s %s %s}}" % (nl(), ws(), nl(), ws(), nl(), self.pick("", "-"), e, self.pick("", "-"))
        return "{%% for k, v in d.items() %%}{{ k }}={{ v }}{%% if loop.index == 2 %%}{%% %s %%}{%% endif %%},%s{%% endfor %%}{{ %s }}" % (self.pick("break", "continue"), nl(), e)


def fuzz_cases(n, seed):
    g = Grammar(random.Random(seed))
    for k in range(n):
        yield "fuzz", str(k), ("{{ %s }}" % g.expr(g.r.randrange(1, 4)) if k % 3 else g.statement()), VARS


# Texts that no comparison can be made of: they hold addresses of objects.
def comparable(text):
    return " at 0x" not in text


def report(title, dump, cases, verbose):
    env = environment()
    cases = list(cases)
    got = actual(dump, [(c[2], c[3]) for c in cases])
    count, bad, by = collections.Counter(), [], collections.defaultdict(set)
    for (name, label, source, v), (rc, text) in zip(cases, got):
        want_rc, want = expect(env, source, v)
        if not want_rc and not comparable(want):
            count["skipped"] += 1
            continue
        same = want_rc and rc or (not want_rc and not rc and want == text)
        kind = ("both fail" if want_rc else "equal") if same else "only jinja2 fails" if want_rc else "only we fail" if rc else "text differs"
        count[kind] += 1
        by[name].add(kind)
        if not same:
            bad.append((kind, name, label, source, want, text))
    whole = sum(1 for k in by.values() if k <= {"equal", "both fail"})
    print("%s: %d cases; %s" % (title, len(cases), ", ".join("%s %d" % x for x in sorted(count.items()))), end="")
    print("; %d of %d templates agree wholly" % (whole, len(by)) if len(by) > 1 else "")
    for kind, name, label, source, want, text in bad[: 1000 if verbose else 10]:
        print("  %s: %s %s\n    source %r\n    jinja2 %r\n    ours   %r" % (kind, name, label, source[:300] if name == "fuzz" else "", want[-300:], text[-300:]))
    return len(bad)


def gguf_templates(files):
    import gguf
    for path in files:
        field = gguf.GGUFReader(path).fields.get("tokenizer.chat_template")
        if field:
            yield os.path.basename(path), bytes(field.parts[-1]).decode()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("dump")
    ap.add_argument("--templates")
    ap.add_argument("--gguf", nargs="*", default=[])
    ap.add_argument("--fuzz", type=int, default=2000)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("-v", action="store_true")
    a = ap.parse_args()
    sources = list(gguf_templates(a.gguf))
    for path in sorted(glob.glob(os.path.join(a.templates, "*.jinja"))) if a.templates else []:
        sources.append((os.path.basename(path), open(path, encoding="utf-8", newline="").read()))
    bad = report("templates", a.dump, template_cases(sources), a.v) if sources else 0
    if a.fuzz:
        bad += report("fuzz", a.dump, fuzz_cases(a.fuzz, a.seed), a.v)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
