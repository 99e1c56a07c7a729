"""The engines of a deployment, from start to stop: planned, started, watched, started again, drained.

`layout` says which engines there are (pure), `keeper` keeps one child process running, `fleet` keeps all of them and
tells the gateway who takes requests, `gateway_admin` asks the gateway what is under way, `status` is what others may read.
"""

from stack.serving.fleet.fleet import Fleet
from stack.serving.fleet.keeper import Keeper, State
from stack.serving.fleet.layout import lay_out
from stack.serving.fleet.status import SessionStatus, find_sessions, read_status

__all__ = ["Fleet", "Keeper", "SessionStatus", "State", "find_sessions", "lay_out", "read_status"]
