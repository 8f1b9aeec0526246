# SPDX-License-Identifier: Apache-2.0
"""What a provider's own SDK makes of a mock: sdk_calls.py DIALECT URL prints {scene: result}, results in the same words for all dialects."""
import json
import sys

from scenes import FAULTS, KEY, MODELS, PICTURE, SCHEMA, TEXTS, TOOL, get_weather


def said(text="", thinking="", calls=(), reason="stop", usage=()):
    return {"text": text, "thinking": thinking, "calls": [list(c) for c in calls], "reason": reason, "usage": list(usage)}


def join(turns):
    """A loop of turns as one: calls of all, the text of the last."""
    return {**turns[-1], "thinking": "".join(t["thinking"] for t in turns), "calls": [c for t in turns for c in t["calls"]],
            "usage": [t["usage"] for t in turns]}


class Anthropic:
    reasons = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "refusal"}

    def __init__(self, url):
        import anthropic  # pylint: disable=import-outside-toplevel,import-error
        self.client = anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)
        self.error = anthropic.APIError

    def message(self, model, messages, **options):
        with self.client.messages.stream(model=model, max_tokens=1000, messages=messages, **options) as s:
            return s.get_final_message()

    def result(self, m):
        u = m.usage
        cached = u.cache_read_input_tokens or 0
        return said("".join(b.text for b in m.content if b.type == "text"), "".join(b.thinking for b in m.content if b.type == "thinking"),
                    [(b.name, b.input) for b in m.content if b.type == "tool_use"], self.reasons[m.stop_reason],
                    [u.input_tokens + cached + (u.cache_creation_input_tokens or 0), cached, u.output_tokens])

    def say(self, text, model, system=None):
        return self.result(self.message(model, [{"role": "user", "content": text}], **({"system": system} if system else {})))

    def whole(self, text, model):
        return self.result(self.client.messages.create(model=model, max_tokens=1000, messages=[{"role": "user", "content": text}]))

    def loop(self, text, model):
        tools = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}]
        messages, turns = [{"role": "user", "content": text}], []
        while not turns or turns[-1]["calls"]:
            m = self.message(model, messages, tools=tools)
            turns.append(self.result(m))
            results = [{"type": "tool_result", "tool_use_id": b.id, "content": get_weather(**b.input)} for b in m.content if b.type == "tool_use"]
            messages += [m.to_param(), {"role": "user", "content": results}]
        return join(turns)

    def schema(self, text, model):
        return self.result(self.message(model, [{"role": "user", "content": text}], output_config={"format": {"type": "json_schema", "schema": SCHEMA}}))

    def picture(self, text, model):
        import base64  # pylint: disable=import-outside-toplevel
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PICTURE).decode()}}
        return self.result(self.message(model, [{"role": "user", "content": [{"type": "text", "text": text}, image]}]))

    def models(self):
        return [m.id for m in self.client.models.list()]

    def count(self, text, model):
        return self.client.messages.count_tokens(model=model, messages=[{"role": "user", "content": text}]).input_tokens

    def status(self, e):
        return getattr(e, "status_code", 0)


class Ollama:
    def __init__(self, url):
        import ollama  # pylint: disable=import-outside-toplevel,import-error
        self.client = ollama.Client(host=url)
        self.error = ollama.ResponseError

    def message(self, model, messages, **options):
        """The pieces of a stream put together: (message, its last line)."""
        text, thinking, calls, last = "", "", [], None
        for last in self.client.chat(model=model, messages=messages, stream=True, **options):
            text += last.message.content or ""
            thinking += last.message.thinking or ""
            calls += last.message.tool_calls or []
        return {"role": "assistant", "content": text, **({"thinking": thinking} if thinking else {}), **({"tool_calls": calls} if calls else {})}, last

    @staticmethod
    def result(m, last):
        calls = [(c.function.name, dict(c.function.arguments)) for c in m.get("tool_calls", [])]
        return said(m["content"], m.get("thinking", ""), calls, "tool_calls" if calls else last.done_reason, [last.prompt_eval_count, 0, last.eval_count])

    def say(self, text, model, system=None):
        return self.result(*self.message(model, ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": text}]))

    def whole(self, text, model):
        r = self.client.chat(model=model, messages=[{"role": "user", "content": text}])
        return self.result({"content": r.message.content}, r)

    def loop(self, text, model):
        tools = [{"type": "function", "function": {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}]
        messages, turns = [{"role": "user", "content": text}], []
        while not turns or turns[-1]["calls"]:
            m, last = self.message(model, messages, tools=tools)
            turns.append(self.result(m, last))
            messages += [m, *({"role": "tool", "content": get_weather(**args), "tool_name": name} for name, args in turns[-1]["calls"])]
        return join(turns)

    def schema(self, text, model):
        return self.result(*self.message(model, [{"role": "user", "content": text}], format=SCHEMA))

    def picture(self, text, model):
        return self.result(*self.message(model, [{"role": "user", "content": text, "images": [PICTURE]}]))

    def logprobs(self, text, model):
        rows = []
        for r in self.client.chat(model=model, messages=[{"role": "user", "content": text}], stream=True, logprobs=True, top_logprobs=2):
            rows += [[t.token, t.logprob, [[o.token, o.logprob] for o in t.top_logprobs]] for t in r.logprobs or ()]
        return rows

    def models(self):
        return [m.model for m in self.client.list().models]

    def embed(self, text, model):
        return list(self.client.embed(model=model, input=text).embeddings[0])

    def status(self, e):
        return e.status_code


class Gemini:
    reasons = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "refusal"}

    def __init__(self, url):
        from google import genai  # pylint: disable=import-outside-toplevel,import-error
        from google.genai import errors, types  # pylint: disable=import-outside-toplevel,import-error
        self.client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url))
        self.types, self.error = types, errors.APIError

    def user(self, *parts):
        return self.types.Content(role="user", parts=list(parts))

    def text(self, text):
        return self.types.Part(text=text)

    def message(self, model, contents, **config):
        """The pieces of a stream put together: (content, last response)."""
        parts, last = [], None
        config = self.types.GenerateContentConfig(**config) if config else None
        for last in self.client.models.generate_content_stream(model=model, contents=contents, config=config):
            parts += last.candidates[0].content.parts
        return self.types.Content(role="model", parts=parts), last

    def result(self, content, last):
        u, calls = last.usage_metadata, [(p.function_call.name, p.function_call.args) for p in content.parts if p.function_call]
        return said("".join(p.text or "" for p in content.parts if not p.thought), "".join(p.text or "" for p in content.parts if p.thought), calls,
                    "tool_calls" if calls else self.reasons[last.candidates[0].finish_reason.value],
                    [u.prompt_token_count, u.cached_content_token_count or 0, u.candidates_token_count + (u.thoughts_token_count or 0)])

    def say(self, text, model, system=None):
        return self.result(*self.message(model, text, **({"system_instruction": system} if system else {})))

    def whole(self, text, model):
        r = self.client.models.generate_content(model=model, contents=text)
        return self.result(r.candidates[0].content, r)

    def loop(self, text, model):
        t = self.types
        tool = t.Tool(function_declarations=[t.FunctionDeclaration(name=TOOL["name"], description=TOOL["description"], parameters_json_schema=TOOL["schema"])])
        contents, turns = [self.user(self.text(text))], []
        while not turns or turns[-1]["calls"]:
            content, last = self.message(model, contents, tools=[tool])
            turns.append(self.result(content, last))
            contents += [content, self.user(*(t.Part(function_response=t.FunctionResponse(name=name, response={"output": get_weather(**args)}))
                                              for name, args in turns[-1]["calls"]))]
        return join(turns)

    def schema(self, text, model):
        return self.result(*self.message(model, text, response_mime_type="application/json", response_json_schema=SCHEMA))

    def picture(self, text, model):
        return self.result(*self.message(model, [self.user(self.text(text), self.types.Part.from_bytes(data=PICTURE, mime_type="image/png"))]))

    def logprobs(self, text, model):
        rows, config = [], self.types.GenerateContentConfig(response_logprobs=True, logprobs=2)
        for r in self.client.models.generate_content_stream(model=model, contents=text, config=config):
            told = r.candidates[0].logprobs_result
            rows += [[c.token, c.log_probability, [[o.token, o.log_probability] for o in top.candidates]]
                     for c, top in zip(told.chosen_candidates, told.top_candidates)] if told else []
        return rows

    def models(self):
        return [m.name.removeprefix("models/") for m in self.client.models.list()]

    def count(self, text, model):
        return self.client.models.count_tokens(model=model, contents=text).total_tokens

    def embed(self, text, model):
        return list(self.client.models.embed_content(model=model, contents=text).embeddings[0].values)

    def status(self, e):
        return e.code


def scenes(sdk, names):
    """(scene, what makes its result)"""
    for scene, text in TEXTS.items():
        yield scene, lambda text=text: sdk.say(text, names["plain"])
    yield "system", lambda: sdk.say("Hi", names["plain"], system="You are a mock.")
    yield "whole", lambda: sdk.whole("Hi", names["plain"])
    yield "loop", lambda: sdk.loop("What is the weather?", names["thinking"])
    yield "plain loop", lambda: sdk.loop("What is the weather?", names["plain"])
    yield "schema", lambda: sdk.schema("A person", names["plain"])
    yield "picture", lambda: sdk.picture("See", names["plain"])
    yield "models", sdk.models
    if hasattr(sdk, "count"):
        yield "count", lambda: sdk.count("one two three", names["plain"])
    if hasattr(sdk, "logprobs"):
        yield "logprobs", lambda: sdk.logprobs(TEXTS["text"], names["plain"])
    if hasattr(sdk, "embed"):
        yield "embed", lambda: sdk.embed("one two three", names["embed"])
    for fault in FAULTS:
        yield fault, lambda fault=fault: sdk.say(f"Hello there, !{fault}", names["plain"])
    yield "missing", lambda: sdk.say("Hi", "no-such-model")


def main():
    dialect, url = sys.argv[1:]
    sdk, out = {"anthropic": Anthropic, "ollama": Ollama, "gemini": Gemini}[dialect](url), {}
    for scene, make in scenes(sdk, MODELS[dialect]):
        try:
            out[scene] = make()
        except sdk.error as e:
            out[scene] = {"status": sdk.status(e)}
        except Exception as e:  # pylint: disable=broad-except
            out[scene] = {"failed": f"{type(e).__module__}.{type(e).__name__}: {e}"}
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
