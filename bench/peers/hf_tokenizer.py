# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of a GGUF file as a tokenizer of Hugging Face's library (PyPI `gguf`, `tokenizers`), for peers that know no other."""
import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

CONTROL = 3
PRE = {"smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])}
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE["qwen2"] = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def pairs(tokens, scores):
    """Merges of a vocabulary that has scores instead: every way to make a token of two, best score first."""
    ids, out = {t: i for i, t in enumerate(tokens)}, []
    for t, i in ids.items():
        for k in range(1, len(t)):
            a, b = ids.get(t[:k]), ids.get(t[k:])
            if a is not None and b is not None:
                out.append((-scores[i], i, a, b))
    return [(tokens[a], tokens[b]) for _, _, a, b in sorted(out)]


def load(path):
    f = gguf.GGUFReader(path).fields
    read = lambda key: f[key].contents() if key in f else None
    tokens, kinds = read("tokenizer.ggml.tokens"), read("tokenizer.ggml.token_type")
    vocab = {t: i for i, t in enumerate(tokens)}
    if read("tokenizer.ggml.model") == "gpt2":
        merges = [tuple(m.split(" ")) for m in read("tokenizer.ggml.merges")]
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
        tok.pre_tokenizer, tok.decoder = PRE[read("tokenizer.ggml.pre")], decoders.ByteLevel()
    else:
        merges = pairs(tokens, read("tokenizer.ggml.scores"))
        tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        tok.normalizer = normalizers.Replace(" ", "\u2581")
        tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, kinds) if k == CONTROL])
    return tok, len(tokens), int(read("tokenizer.ggml.eos_token_id"))
