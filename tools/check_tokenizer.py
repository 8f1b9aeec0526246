#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares token ids with other tokenizers on texts made to be difficult.

usage: tools/check_tokenizer.py DUMP llama MODEL.gguf...         against llama-cpp-python (also special tokens parsed)
       tools/check_tokenizer.py DUMP golden DIR                  against DIR/*.gguf.inp and .out of llama.cpp/models
       tools/check_tokenizer.py DUMP hf MODEL.gguf TOKENIZER.json   against `tokenizers`, same vocabulary
       tools/check_tokenizer.py DUMP convert PRE TOKENIZER.json     against `tokenizers`, over a vocabulary made of the JSON

DUMP is the test program tok_dump. Exits 1 if any ids differ.
"""
import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

SPECIAL = 1
PIECES = 4

NASTY = [
    "", " ", "  ", "\n", "\n\n\n", "\t \t", "\r\n\r\n", " \n \n ", "a  \n", "   \n\n  x", "\u00a0\u2003x\u3000y\u0085z", "\u200b\u200d\ufeff",
    "Hello, world! Don't you'LL we'Re I'M 'S 's' ''re 'vex", "it'\u017f '\u017f \u212a", "'", "''", "'''", "' s", "don\u2019t", "x'y'z'd",
    "1 12 123 1234 12345 123456789012 1,234.56 \u0661\u0662\u0663\u0664 \u00bd\u00b2\u2167 1st 2nd a1b22c333",
    "CamelCaseHTTPServer2XML snake_case kebab-case SCREAMING_CASE iPhone McDONALD's \u01c5ungla \u00c9T\u00c9\u00e9t\u00e9\u0130\u0131",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8\u3001\u4e2d\u6587\u6d4b\u8bd5\u3002\ud55c\uad6d\uc5b4 \uff21\uff22\uff43\uff11\uff12 \u65e5BC\u672cAb\u672c",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u1200\u1208 \u10d0\u10d1 \u0baa\u0bca",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea\U0001f3f4\U000e0067\U000e0062 \u2764\ufe0f \U0001f600\U0001f600 \u263a",
    "e\u0301 a\u0308\u0323 \u0301\u0302x Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d a\u0301B\u0301 \u0301 \u0301\u0301 \n\u0301A \u0301BC",
    "\x00\x01\x02\x1b[0m\x7f\x80\x9f a\x00b", "\ufffd\ufffe\uffff\U0010ffff\U000f0000\ue000 \ud7ff",
    "for (int i = 0; i < n; i++) {\n\treturn a[i] != b->c && !d;\n}\n\n/* x */ // y\r\n#define X(a) \\\n  a##b",
    "<html><body class=\"a\">&amp;&#39;</body></html> https://a.b/c?d=e&f=%20#g //path\\to\\file /a/b/\n/",
    "$+<=>^~|` ``` ~~~ $x^2$ a|b ~/x <<<>>> ===", "!!!???...\u2026\u2014\u2013\u00ab\u00bb\u201c\u201d\u2018\u2019\u300c\u300d\uff01\uff1f \u3002\u3001",
    "\u2581 \u2581\u2581x \u2581Hello<0x41><0x0A>", "_<EOT> \u0120 \u010a\u0120\u0100", "word " * 50, "supercalifragilisticexpialidocious" * 3,
    "<s></s><unk><pad><bos><eos><mask><start_of_turn>user\nhi<end_of_turn>\n", "<|im_start|>system\nYou<|im_end|>\n<|im_start|>", "<|im_start",
    "<|endoftext|><|endoftext|> <|fim_prefix|>a<|fim_suffix|>b<|fim_middle|><|file_sep|>", "<|im_|im_start|>end|><<|im_end|>>", "<start_of_turn><start_of_turnx>",
    "<unused0><unused99><unused6241><unused9999> [multimodal] <table></table><h1></h6><br>\n<|begin_of_text|><|eot_id|><tool_call></tool_call>",
    " " * 7 + "x", " " * 100, " " * 33 + "\n" + " " * 17, "\n" * 40, "\n" * 31 + " ", "\t" * 33, "\r" * 9, "\r\n" * 20, " \n" * 20, "\u3000" * 20, "\u00a0" * 5 + "a",
    "0" * 100, "9" * 31 + ".", "a" * 300, "A" * 100, "aA" * 80, "Aa" * 80, "\u3042" * 100, "." * 100, "!" * 33, "-" * 77, "=" * 81 + "\n", "'" * 20, "\u0301" * 20,
    "\U0001f600" * 30, "ab " * 60, "/" * 20 + "\n/", "__" * 30, "\u2581" * 9, "x" * 5000, " " * 3000, "1" * 3000, "the " * 1500, "\u4e00" * 1500,
]

BROKEN = [b"\xff", b"\x80\x80", b"a\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x28\xa1", b"\xf0\x9f\x98", b"\xf0\x28\x8c\xbc", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80",
          b"ok \xff\xfe ok", b"\xe2 a", b"\xe2 \x96\x81", b"\xc3 x\xa9", b"\xf4\x90\x80\x80", b"x\xe9\xe9y", bytes(range(128, 256))]

POOLS = [
    "abcdefghijklmnopqrstuvwxyz", "ABC abc", "   \n\n\t\r", "0123456789", "'stdmrevl SDM", "!?.,;:-_/\\|<>[]{}()*&^%$#@~`+=\"",
    "\u00e9\u00e8\u00fc\u00df\u00d8\u0130\u01c5", "\u65e5\u672c\u4e2d\u6587\u3042\u30a2\uac00", "\u0301\u0308\u093f\u0e34\ufe0f\u200d", "\u0663\u00bd\u2167\uff11",
    "\U0001f600\U0001f469\U0001f3fd\U0001f1e9", "\u00a0\u2028\u3000\u0085\u000b", "\u2018\u2019\u201c\u2026\u3002\uff0c\u0964\u06d4", "\x00\x01\x7f\u0080\ufeff",
]


def random_texts(count, seed=7):
    rng = random.Random(seed)
    names = ["<|im_start|>", "<|im_end|>", "<bos>", "<end_of_turn>", "<|endoftext|>", "</s>", "\u2581", "<0x0A>", "\n\n"]
    for i in range(count):
        parts = []
        for _ in range(rng.randint(1, 24)):
            kind = rng.random()
            if kind < 0.06:
                parts.append(rng.choice(names))
            elif kind < 0.12:
                cp = rng.choice([rng.randrange(0x800), rng.randrange(0x3000), rng.randrange(0x10000), rng.randrange(0x110000)])
                parts.append(chr(cp) if not 0xD800 <= cp < 0xE000 else "?")
            else:
                pool = rng.choice(POOLS)
                parts.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 8))))
        yield "".join(parts)


def dump(program, model, flags, texts):
    data = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    p = subprocess.run([program, model, str(flags)], input=data, capture_output=True)
    if p.returncode:
        sys.exit("%s: %s" % (model, p.stderr.decode()))
    lines = p.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(texts), (len(lines), len(texts))
    return lines if flags & PIECES else [[int(x) for x in line.split()] for line in lines]


def report(name, texts, got, want):
    bad = [i for i in range(len(texts)) if got[i] != want[i]]
    print("%-60s %5d texts %8d ids %5d differ" % (name, len(texts), sum(map(len, want)), len(bad)))
    for i in bad[:6]:
        g, w = got[i], want[i]
        k = next((k for k in range(min(len(g), len(w))) if g[k] != w[k]), min(len(g), len(w)))
        print("    %r at %d: %s, expected %s" % (texts[i][:80], k, g[max(0, k - 2) : k + 6], w[max(0, k - 2) : k + 6]))
    return len(bad)


def corpus():
    return [t.encode() for t in NASTY] + [t.encode() for t in random_texts(1000)]


def check_round_trip(program, model, texts):
    alone = [bytes([b]) for b in range(256)]
    gone = {b[0] for b, ids in zip(alone, dump(program, model, 0, alone)) if not ids}  # bytes without a token
    texts = [t for t in texts if not gone & set(t)]
    back = dump(program, model, SPECIAL | PIECES, texts)
    bad = [i for i in range(len(texts)) if bytes.fromhex(back[i]) != texts[i]]
    print("%-60s %5d texts %24d differ" % (os.path.basename(model) + " round trip", len(texts), len(bad)))
    for i in bad[:6]:
        print("    %r came back as %r" % (texts[i][:80], bytes.fromhex(back[i])[:80]))
    return len(bad)


def check_llama(program, models):
    import llama_cpp

    bad = 0
    for model in models:
        llm = llama_cpp.Llama(model, vocab_only=True, verbose=False)
        spm = llm.metadata["tokenizer.ggml.model"] == "llama"
        texts = corpus() + ([t for t in BROKEN if b" " not in t] if spm else [])  # llama.cpp loses spaces in some
        for special in (0, SPECIAL):
            want = [llm.tokenize(t, add_bos=False, special=bool(special)) for t in texts]
            bad += report("%s special=%d" % (os.path.basename(model), special), texts, dump(program, model, special, texts), want)
        if llm.metadata.get("tokenizer.ggml.add_space_prefix", "true") == "false" or not spm:
            bad += check_round_trip(program, model, [t for t in corpus() + BROKEN if not spm or b"\xe2\x96\x81" not in t])
    return bad


def check_golden(program, folder):
    bad = 0
    for inp in sorted(glob.glob(os.path.join(folder, "*.gguf.inp"))):
        texts = open(inp, "rb").read().split(b"\n__ggml_vocab_test__\n")
        want = [[int(x) for x in line.split()] for line in open(inp[:-4] + ".out").read().split("\n")[: len(texts)]]
        try:
            got = dump(program, inp[:-4], 0, texts)
        except SystemExit as e:
            print("skipped: %s" % str(e).strip())
            continue
        bad += report(os.path.basename(inp[:-4]), texts, got, want)
    return bad


def hf_ids(path, texts):
    from tokenizers import Tokenizer

    tok = Tokenizer.from_file(path)
    tok.no_truncation()
    return [tok.encode(t.decode(), add_special_tokens=False).ids for t in texts]


def check_hf(program, model, path):
    texts = corpus()
    return report("%s against %s" % (os.path.basename(model), path[-40:]), texts, dump(program, model, SPECIAL, texts), hf_ids(path, texts))


def convert(path, pre, out):
    """A GGUF file that holds nothing but the byte-level vocabulary of a tokenizer.json."""
    from gguf import GGUFWriter

    data = json.load(open(path))
    vocab = dict(data["model"]["vocab"])
    types = {}
    for t in data["added_tokens"]:
        vocab[t["content"]] = t["id"]
        types[t["id"]] = 3 if t["special"] else 4
    n = max(vocab.values()) + 1
    names = ["[HOLE_%d]" % i for i in range(n)]
    for text, i in vocab.items():
        names[i] = text
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    w = GGUFWriter(out, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(names)
    w.add_token_types([types.get(i, 1 if names[i] in vocab else 5) for i in range(n)])
    w.add_token_merges(merges)
    w.add_add_bos_token(False)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()


def check_convert(program, pre, path):
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, pre + ".gguf")
        convert(path, pre, model)
        return check_hf(program, model, path)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, mode, args = sys.argv[1], sys.argv[2], sys.argv[3:]
    checks = {
        "llama": lambda: check_llama(program, args),
        "golden": lambda: check_golden(program, args[0]),
        "hf": lambda: check_hf(program, *args),
        "convert": lambda: check_convert(program, *args),
    }
    sys.exit(1 if checks[mode]() else 0)


if __name__ == "__main__":
    main()
