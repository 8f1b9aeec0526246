#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents as tools of others, and handoffs."""
import gc

from support import Base, aios, main

CALL = 'call helper {"prompt": "1+2?"}; result'
SUM = 'call add {"a": 1, "b": 2}; result'


def add(a: int, b: int):
    """Adds."""
    return a + b


class Called(Base):
    def pair(self, text, helper_text, *tools, policy=None, **options):
        helper = self.agent(helper_text, *tools, policy=options.pop("helper_policy", None))
        toolset = aios.Toolset(self.context)
        toolset.add(helper.as_tool("helper", "adds", **options))
        return aios.Agent(self.model(text), toolset, policy=policy)

    def test_an_agent_is_a_tool(self):
        events = []
        reply = self.pair(CALL, SUM, add).run("go", on_event=events.append)
        self.assertEqual(reply.text, "3")
        self.assertEqual([c.name for c in reply.calls], ["helper"])
        inner = [e for e in events if e.depth]
        self.assertEqual({e.parent for e in inner}, {events[0].run})
        self.assertIn(("call", "call_1/call_1"), [(e.kind, e.call_id) for e in inner])

    def test_its_asks_are_asked_of_the_host(self):
        asked = []
        agent = self.pair(CALL, SUM, (add, {"effect": "unsafe"}))
        self.assertEqual(agent.run("go", on_ask=lambda e: asked.append((e.depth, e.name)) or True).text, "3")
        self.assertEqual(asked, [(0, "helper"), (1, "add")])

    def test_the_policies_of_both_are_asked_and_live(self):
        seen = []

        def policy(action):
            seen.append((action.depth, action.tool))
            return "allow"

        agent = self.pair(CALL, SUM, add, policy=policy, helper_policy=lambda a: ("deny", "never"))
        gc.collect()  # the helper lives in the toolset alone
        self.assertIn("never", agent.run("go").text)
        self.assertEqual(seen, [(0, "helper")])
        agent = self.pair(CALL, SUM, add, policy=policy)
        self.assertEqual(agent.run("go").text, "3")
        self.assertEqual(seen[1:], [(0, "helper"), (1, "add")])

    def test_what_a_tool_below_raises_is_kept(self):
        def bad():
            raise aios.ToolError("no luck")

        self.assertIn("no luck", self.pair(CALL, "call bad {}; result", bad).run("go").text)

    def test_a_reply_can_stay_behind_a_handle(self):
        reply = self.pair(CALL, SUM, add, handle=True).run("go")
        self.assertIn("$v1", reply.text)

    def test_an_agent_that_calls_itself_ends(self):
        toolset = aios.Toolset(self.context)
        agent = aios.Agent(self.model('call me {"prompt": "again"}; result'), toolset, limits={"max_depth": 2})
        toolset.add(agent.as_tool("me"))
        self.assertIn("no more than 2 levels", agent.run("go").text)

    def test_wrong_tools_are_errors(self):
        toolset = aios.Toolset(self.context)
        with self.assertRaises(TypeError):
            toolset.add(aios.AgentTool("no agent", "x"))
        self.fails("EINVAL", toolset.add, self.agent("say x").as_tool("not a name"))


class Handed(Base):
    def test_a_run_is_handed_over(self):
        desk = self.agent("turn; " + SUM, add, instructions="you work")
        first = aios.Agent(self.model("call transfer_to_desk {}"), handoffs=[desk.as_tool("desk", "for work")])
        desk = None
        gc.collect()
        events = []
        self.assertEqual(first.run("go", on_event=events.append).text, "3")
        self.assertEqual([e.name for e in events if e.kind == "state" and e.text == "handoff"], ["desk"])

    def test_wrong_handoffs_are_errors(self):
        with self.assertRaises(TypeError):
            aios.Agent(self.model("say x"), handoffs=["desk"])
        other = self.agent("say x")
        self.fails("EEXIST", aios.Agent, self.model("say x"), handoffs=[other.as_tool("a"), other.as_tool("a")])


if __name__ == "__main__":
    main()
