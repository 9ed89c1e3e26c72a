"""The network of their own that the tests leave for: loopback works, and nothing else is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

LEFT = """
import socket, apart
apart.leave()
assert [name for _, name in socket.if_nameindex()] == ["lo"]
assert not apart.is_tracker_here()
with socket.create_server(("127.0.0.9", 0)) as server:
    socket.create_connection(server.getsockname()).close()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tracker:
    tracker.bind(("", apart.WELL_KNOWN_PORT))
    assert apart.is_tracker_here()
print("left")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such networks")
def test_the_tests_can_leave_for_a_network_of_their_own():
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]"
    command = [sys.executable, "-c", path + LEFT]
    left = subprocess.run(command, capture_output=True, text=True, check=False)
    if "PermissionError" in left.stderr:
        pytest.skip("this system lets nobody make a network")
    assert left.stdout == "left\n", left.stderr
