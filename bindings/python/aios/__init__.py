# SPDX-License-Identifier: Apache-2.0
"""Local language models, tools and agents by libaios.

    model = aios.Model("model.gguf")
    for piece in model.session().stream("Why is the sky blue?"):
        print(piece, end="", flush=True)
"""
from typing import TYPE_CHECKING

from . import _cdef
from ._agent import Action, Agent, Call, Run, Toolset
from ._backend import Backend, CallDelta, Logprobs, Reasoning, Restart, ToolCall, TurnRequest
from ._agent import Action, Agent, AgentTool, Call, Run, Toolset
from ._backend import Backend, CallDelta, Reasoning, Restart, ToolCall, TurnRequest
from ._context import Context
from ._events import Event, Label, Reply, Usage
from ._grammar import Grammar, Walk
from ._lib import Error, ToolError, has, library_path, strerror, version
from ._llm import Model, Session, Turn
from ._memory import Hit, Memory
from ._schema import Violation, schema_check, schema_violations
from ._signature import schema_of
from ._snapshot import Snapshot
from ._store import Record, RunInfo, Store, Stream, Write
from ._telemetry import Telemetry
from ._transcript import Entry, Part, Transcript

__version__ = ".".join(str(n) for n in (_cdef.AIOS_VERSION_MAJOR, _cdef.AIOS_VERSION_MINOR, _cdef.AIOS_VERSION_PATCH))

# Constants without their prefix: aios.EBUDGET, aios.LABEL_USER ...
globals().update({name[5:]: value for name, value in vars(_cdef).items() if name.startswith("AIOS_") and isinstance(value, int)})
if TYPE_CHECKING:
    def __getattr__(name: str) -> int: ...

__all__ = ["Action", "Agent", "AgentTool", "Backend", "Call", "CallDelta", "Context", "Entry", "Error", "Event", "Grammar",
           "Hit", "Label", "Logprobs", "Memory", "Model", "Part", "Reasoning", "Record", "Reply", "Restart", "Run",
           "RunInfo", "Session", "Snapshot", "Store", "Stream", "Telemetry", "ToolCall", "ToolError", "Toolset",
           "Transcript", "Turn", "TurnRequest", "Usage", "Violation", "Walk", "Write", "has", "library_path", "schema_check",
           "schema_of", "schema_violations", "strerror", "version"]
