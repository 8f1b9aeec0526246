# SPDX-License-Identifier: Apache-2.0
"""What is asked of the mocks, by the SDKs and by libaios alike."""
from mock_server import KEY  # noqa: F401  pylint: disable=unused-import

MODELS = {"anthropic": {"plain": "claude-mock", "thinking": "claude-mock-thinking"},
          "ollama": {"plain": "mock", "thinking": "mock-thinking", "embed": "mock"},
          "gemini": {"plain": "gemini-mock", "thinking": "gemini-mock-thinking", "embed": "embedding-mock"}}
TEXTS = {"text": "Grüß dich, \"Welt\" 👩‍👩‍👧!", "long text": "word " * 300 + "\\ \t ende", "length": "Go to any length"}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
                                           "kind": {"enum": ["cat", "dog"]}}, "required": ["name", "age", "tags", "kind"], "additionalProperties": False}
TOOL = {"name": "get_weather", "description": "Weather of a place.",
        "schema": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"], "additionalProperties": False}}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FAULTS = ("overloaded", "rate", "long", "broken", "cut")


def get_weather(location):
    return f"{location}: 15 C"
