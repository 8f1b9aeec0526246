# SPDX-License-Identifier: Apache-2.0
"""What a machine allows: rates by `aios devices --probe`, and the work that a token of a model is by its weights."""
import json
import os
import subprocess

import engines

CLI = os.environ.get("AIOS_CLI", str(engines.HERE.parents[1] / "build" / "cli" / "aios"))


def aios(*args):
    return json.loads(subprocess.run([CLI, *args], capture_output=True, text=True, check=True).stdout)


def probe(threads, level):
    """Rates as a dict, in a process of its own."""
    out = aios("devices", "--probe", "--json", "-t", str(threads), *(["--cpu", level] if level else []))
    return {**out["rates"], "cpu": out["cpu"]["model"]}


def best(a, b):
    """The limit is the better of two looks at it."""
    return {k: max(a[k], b[k]) if isinstance(a[k], float) else a[k] for k in a}


def work_of(path):
    """Multiply-adds and bytes of the layers and of the head, a token."""
    tensors = [t for t in aios("inspect", "-m", path, "--json")["tensors"] if len(t["shape"]) == 2]
    head = next((t for name in ("output.weight", "token_embd.weight") for t in tensors if t["name"] == name), None)
    layers = [t for t in tensors if t["name"].startswith("blk.")]

    def macs(rows):
        return sum(t["shape"][0] * t["shape"][1] for t in rows)

    return {"layer_macs": macs(layers), "head_macs": macs([head]), "bytes": sum(t["bytes"] for t in layers + [head])}


def share(work, test, tok_s, rates):
    """Prefill: of the int8 peak, the head once. Decode: of the read bandwidth, the weights once a step."""
    kind, n, n_seq = engines.parse_test(test)
    if kind == "pp":
        return round(2 * (work["layer_macs"] + work["head_macs"] / n) * tok_s / rates["int8_op_per_s"], 3)
    return round(work["bytes"] * tok_s / n_seq / rates["read_bytes_per_s"], 3)
