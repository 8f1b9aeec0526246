#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Long-term memory from Python: items, views, files, an agent's tools."""
import os
import tempfile
import threading
import unittest

from support import TEXT, Base, aios, main


@unittest.skipUnless(aios.has("sqlite"), "a build without SQLite")
class Memories(Base):
    def test_an_item_comes_back_with_all_it_had(self):
        with aios.Memory(context=self.context) as m:
            item = m.add(TEXT, scope="user:sam", kind="fact", tags={"n": 1, "ok": True}, source="run/1", key="k", label=aios.Label(aios.LABEL_USER, 6),
                         expires=4e9)
            hit = m.get(item)
            self.assertEqual(hit[:2], (item, TEXT))
            self.assertEqual(hit[4:10], ("user:sam", "fact", {"n": 1, "ok": True}, "run/1", "k", aios.Label(aios.LABEL_USER, 6)))
            self.assertEqual(hit.expires, 4e9)
            self.assertEqual(hit.created, hit.updated)
            self.assertEqual(m.find("k"), item)
            self.assertEqual(m.add("other", key="k"), item)
            self.fails("ENOENT", m.get, item, readers=6)
            self.assertEqual(m.get(item, readers=6, scopes="user:sam").id, item)
            m.remove(item)
            self.fails("ENOENT", m.get, item)
            m.check()

    def test_search_finds_what_may_be_seen(self):
        with aios.Memory(context=self.context) as m:
            m.add_all([{"text": "green tea"}, {"text": "black tea, hot tea", "scope": "b"}, {"text": "tea of the bank", "label": (2, 1)}])
            self.assertEqual([h.text for h in m.search("TEA?")], ["green tea"])
            self.assertEqual([h.text for h in m.search("tea", scopes=["", "b"])], ["black tea, hot tea", "green tea"])
            self.assertEqual([h.text for h in m.search("tea", readers=1, min_integrity=aios.LABEL_USER)], ["tea of the bank"])
            self.assertEqual(m.count(any_scope=True, readers=1), 3)
            self.assertEqual([h.text for h in m.list(any_scope=True, max_hits=1)], ["black tea, hot tea"])
            self.assertEqual(m.search('" OR scope:*'), [])
            self.assertGreater(m.search("green")[0].score, 0)
            self.assertEqual(m.info()["n_items"], 3)

    def test_a_file_keeps_it(self):
        with tempfile.TemporaryDirectory() as d:
            uri = f"sqlite:{d}/m"
            with aios.Memory(uri, tokenizer="trigrams") as m:
                m.add("東京タワー")
                self.fails("EBUSY", aios.Memory, uri)
            with aios.Memory(uri, read_only=True) as m:
                self.assertEqual(m.search("タワー")[0].text, "東京タワー")
                self.fails("ESTATE", m.add, "x")
            self.assertEqual(os.stat(f"{d}/m").st_mode & 0o777, 0o600)

    def test_wrong_arguments_are_python_errors(self):
        with aios.Memory(context=self.context) as m:
            self.assertRaises(TypeError, m.add, 5)
            self.assertRaises(TypeError, m.add, "x", colour="red")
            self.assertRaises(TypeError, m.search, "x", limit=3)
            self.assertRaises(TypeError, m.add, "x", tags=[1])
            self.fails("EINVAL", m.add, "")
            self.fails("EINVAL", m.add, "x", tags={"a": [1]})
        self.fails("ESTATE", m.count)
        self.assertRaises(ValueError, aios.Memory, tokenizer="porter")

    def test_threads_share_it(self):
        with aios.Memory(context=self.context) as m:
            threads = [threading.Thread(target=lambda k=k: [m.add(f"thread {k} says n{i}") for i in range(20)]) for k in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(m.count(), 80)
            self.assertEqual(len(m.search("n7", max_hits=50)), 4)

    def test_an_agent_remembers(self):
        with aios.Memory(context=self.context) as m:
            for script, policy in (('call remember {"text":"Sam likes tea"};turn;say ok', "allow"), ('call recall {"query":"Sam"};turn;say ok', "deny")):
                tools = aios.Toolset(self.context)
                tools.add_memory(m, forget=True)
                self.assertEqual(tools.names(), ["recall", "remember", "forget"])
                agent = aios.Agent(self.model(script), tools, policy=lambda a, p=policy: "allow" if a.effect == "read" else p)
                results = []
                agent.run("go", on_event=lambda ev, r=results: r.append(ev.text) if ev.kind == "result" else None)
            self.assertIn("Sam likes tea", results[0])
            self.assertEqual(m.list()[0].label, aios.Label(aios.LABEL_USER, 0))
            self.assertTrue(m.list()[0].source.startswith("run/"))


if __name__ == "__main__":
    main()
