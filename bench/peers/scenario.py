# SPDX-License-Identifier: Apache-2.0
"""A conversation with tool results, the same for every engine that it is put to."""
import random

LEVELS = ("INFO", "INFO", "INFO", "WARN", "ERROR")
PARTS = ("db", "api", "auth", "queue", "cache", "disk")
TEXTS = ("ready", "timeout", "slow read", "retry ok", "conn lost", "job done", "no space", "bad token")


def log_lines(rng, n):
    return "".join(f"{rng.choice(LEVELS)} {rng.choice(PARTS)}: {rng.choice(TEXTS)} {rng.randrange(10, 99)}\n" for _ in range(n))


class Agent:
    """The text of one conversation as it grows; ChatML, so that every engine reads the same tokens."""

    def __init__(self, number, lines):
        self.rng, self.lines = random.Random(number), lines
        self.text = ("<|im_start|>system\nYou watch over servers. Call read_log until you know what is wrong.<|im_end|>\n"
                     f"<|im_start|>user\nServer {number} is slow. Find out why.<|im_end|>\n<|im_start|>assistant\n")

    def add(self, reply):
        self.text += f"{reply}<|im_end|>\n<|im_start|>tool\n{log_lines(self.rng, self.lines)}<|im_end|>\n<|im_start|>assistant\n"
