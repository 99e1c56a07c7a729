"""Ports."""

import socket

import pytest

from stack.runtime.errors import StackproofError
from stack.runtime.net import LOOPBACK, free_port, require_free


def test_a_taken_port_is_named_with_the_option_that_picks_another() -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StackproofError, match=f"port {port} on 127.0.0.1 is taken by another process: choose another with --port"):
            require_free(LOOPBACK, port, option="--port")


def test_a_free_port_passes() -> None:
    require_free(LOOPBACK, free_port(), option="--port")
