"""Accepting connections, one thread each, and ending them all."""

from __future__ import annotations

import errno
import resource
import selectors
import socket
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path
from queue import Queue
from threading import Event, Semaphore, Thread, active_count

import pytest
from listening import SOON, listen, running
from processes import eventually

from rede_p2p.errors import Address, ConnectionLostError, PortUnavailableError, RefusedError
from rede_p2p.net import listener as listener_module
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.listener import Listener
from rede_p2p.net.requests import requests
from rede_p2p.net.requests import serve as serve_requests
from rede_p2p.protocol.codec import encode_request
from rede_p2p.protocol.messages import Ls, Ok, Stat
from rede_p2p.protocol.verbs import TO_PEER
from rede_p2p.timeouts import Timeouts


def echo(connection: Connection) -> None:
    """Answer every request with yes."""
    for _ in requests(connection, TO_PEER, lambda: 60.0, str):
        connection.reply(Ok())


def test_its_address_is_true_before_any_thread_starts(host):
    listener = listen(host, 0, 10)
    assert listener.address.ip == host
    assert listener.address.port > 0
    with running(listener, echo), dial(listener.address) as connection:
        assert connection.ask(Ls(), Ok) == Ok()


def may_choose_control() -> bool:
    """Tell whether this system lets us choose a connection's congestion control."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        except (AttributeError, OSError):
            return False
        return True


@pytest.mark.skipif(not may_choose_control(), reason="there is no choice here")
@pytest.mark.parametrize("ip", [None, "host"])
def test_what_is_sent_is_not_timed_packet_by_packet(host, ip):
    told: Queue[bytes] = Queue()

    def tell_control(connection: Connection) -> None:
        told.put(connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16))

    listening = running(listen(ip and host, 0, 10), tell_control)
    with listening as listener, dial(Address(host, listener.address.port)):
        assert told.get(timeout=SOON).rstrip(b"\0") == b"cubic"


def test_a_system_that_gives_no_choice_of_congestion_control_is_listened_on(host, monkeypatch):
    monkeypatch.delattr(socket, "TCP_CONGESTION", raising=False)
    with running(listen(host, 0, 10), echo) as listener, dial(listener.address) as connection:
        assert connection.ask(Ls(), Ok) == Ok()


def test_all_addresses_of_the_machine_are_listened_on(host):
    listener = listen(None, 0, 10)
    ips = [host] + (["::1"] if socket.has_dualstack_ipv6() else [])
    with running(listener, echo):
        for ip in ips:
            with dial(Address(ip, listener.address.port)) as connection:
                assert connection.ask(Ls(), Ok) == Ok()


def test_each_connection_has_a_thread_of_its_own(host):
    with running(listen(host, 0, 200), echo) as listener, ExitStack() as stack:
        before = active_count()
        for _ in range(20):
            connection = stack.enter_context(dial(listener.address))
            assert connection.ask(Ls(), Ok) == Ok()
        assert active_count() == before + 20


def test_a_port_is_free_again_at_once_after_the_end(host):
    port = 0
    for _ in range(5):
        with (
            running(listen(host, port, 10), echo) as listener,
            dial(listener.address) as connection,
        ):
            assert connection.ask(Ls(), Ok) == Ok()
            port = listener.address.port


@pytest.mark.parametrize(
    ("ip", "port", "reason"),
    [
        (None, None, "taken"),
        ("192.0.2.1", 0, "address"),
        ("::2", 0, "address"),
    ],
)
def test_a_port_that_cannot_be_had_is_said(host, ip, port, reason):
    with socket.create_server((host, 0)) as taken:
        address = Address(ip or host, taken.getsockname()[1] if port is None else port)
        with pytest.raises(PortUnavailableError) as caught:
            listen(address.ip, address.port, 10)
    assert caught.value.reason == reason
    assert caught.value.address == address


def test_stopping_wakes_fifty_handlers_and_waits_for_them(host):
    begun, ended = Queue(), Queue()

    def block(connection):
        begun.put(True)
        try:
            connection.receive_line(600)
        finally:
            ended.put(connection.remote)

    with ExitStack() as stack:
        with running(listen(host, 0, 200), block) as listener:
            callers = [stack.enter_context(dial(listener.address)) for _ in range(50)]
            for _ in callers:
                begun.get(timeout=SOON)
        assert {ended.get_nowait() for _ in callers} == {caller.local for caller in callers}
        for caller in callers:
            assert caller.receive_line(SOON) is None


def test_stopping_wakes_a_handler_whose_caller_takes_nothing(host):
    begun = Event()

    def pour(connection):
        begun.set()
        connection.send(bytes(256 * 1024 * 1024))

    with running(listen(host, 0, 10), pour) as listener, dial(listener.address):
        assert begun.wait(SOON)
        listener.stop()


def test_stopping_twice_or_before_the_start_is_no_error(host):
    listener = listen(host, 0, 10)
    listener.stop()
    listener.stop()
    with listener:
        assert listener.accept() is None
        assert listener.accept() is None


def test_a_handler_that_loses_its_connection_ends_quietly(host):
    def lose(connection):
        raise ConnectionLostError("changed")

    with running(listen(host, 0, 10), lose) as listener, dial(listener.address) as caller:
        assert caller.receive_line(SOON) is None


def test_what_it_accepts_waits_as_long_as_the_listener_was_told(host):
    with listen(host, stall_s=0.05) as listener, dial(listener.address):
        accepted = listener.accept()
        with accepted, pytest.raises(ConnectionLostError, match="silent"):
            accepted.receive_exactly(1)


def test_a_caller_who_gives_up_before_it_is_accepted_harms_nobody(host):
    listener = listen(host, 0, 10)
    for _ in range(5):
        sock = socket.create_connection(listener.address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        sock.close()
    with running(listener, echo), dial(listener.address) as connection:
        assert connection.ask(Ls(), Ok) == Ok()


def waiting_room():
    """Return how many connections this system lets wait to be accepted, at most."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except OSError:
        return 128


@pytest.mark.skipif(waiting_room() < 800, reason="this system lets few connections wait")
def test_as_many_wait_to_be_accepted_as_come_when_a_tracker_starts_again(host):
    with listen(host) as listener, ExitStack() as stack:
        for _ in range(700):
            bare = stack.enter_context(socket.socket())
            bare.settimeout(0.5)  # less than until a connection that found no room tries again
            bare.connect(listener.address)


# Slots.


def test_one_address_gets_half_of_the_slots_and_the_rest_are_refused_in_words(host):
    with running(listen(host, 0, 6), echo) as listener, ExitStack() as stack:
        port = listener.address.port
        for _ in range(3):
            connection = stack.enter_context(dial(Address(host, port), host))
            assert connection.ask(Ls(), Ok) == Ok()
        for _ in range(3):
            with dial(Address(host, port), host) as refused, pytest.raises(RefusedError) as caught:
                refused.receive_reply(Ok)
            assert caught.value.code == "full"
            assert "lotado" in caught.value.message
        for number in (1, 2, 3):  # others are still welcome, until all slots are taken
            connection = stack.enter_context(dial(Address(host, port), f"127.9.9.{number}"))
            assert connection.ask(Ls(), Ok) == Ok()
        last = dial(Address(host, port), "127.9.9.4")
        with last, pytest.raises(RefusedError, match="full"):
            last.receive_reply(Ok)


def is_served(address):
    try:
        with dial(address) as connection:
            return connection.ask(Ls(), Ok) == Ok()
    except (RefusedError, ConnectionLostError):
        return False


def test_a_slot_is_free_again_when_its_caller_has_left(host):
    with running(listen(host, 0, 2), echo) as listener:
        for _ in range(20):
            eventually(lambda: is_served(listener.address))  # the one before is on its way out


def all_idle(listener):
    return all(one.idle_since < inf for one in list(listener._served))


def crowded(host, idle_s):
    """Return what listens with two slots, and how many requests have come."""
    came, go_on = Semaphore(0), Event()

    def serve(connection):
        def answer(request):
            came.release()
            if isinstance(request, Stat):  # which takes as long as the test
                assert go_on.wait(SOON)
            connection.reply(Ok())

        serve_requests(connection, TO_PEER, lambda: SOON, answer, str)

    patient = Timeouts(accept_pause_s=SOON)  # with who must first give its slot
    return Listener(host, 0, 2, str, patient, idle_s=idle_s), serve, came, go_on


def test_where_all_slots_are_taken_who_has_asked_nothing_for_longest_gives_its_own(host):
    listener, serve, _, _ = crowded(host, idle_s=0.0)
    with running(listener, serve), ExitStack() as stack:

        def ask(connection):
            assert connection.ask(Ls(), Ok) == Ok()
            eventually(lambda: all_idle(listener))

        served = []
        for number in range(1, 5):
            served.append(stack.enter_context(dial(listener.address, f"127.9.9.{number}")))
            ask(served[-1])
            for gone in served[:-2]:
                assert gone.receive_line(SOON) is None
            for here in served[-2:]:
                ask(here)
        refused = dial(listener.address, "127.9.9.4")  # its half is taken, by itself
        with refused, pytest.raises(RefusedError, match="full"):
            refused.receive_reply(Ok)


@pytest.mark.parametrize("request_", [Stat("busy"), Ls()], ids=["an answer", "just asked"])
def test_who_is_in_an_answer_or_has_just_asked_keeps_its_slot(host, request_):
    is_busy = isinstance(request_, Stat)
    listener, serve, came, go_on = crowded(host, idle_s=0.0 if is_busy else 3600.0)
    with running(listener, serve), ExitStack() as stack:
        served = [stack.enter_context(dial(listener.address, f"127.9.9.{n}")) for n in (1, 2)]
        for one in served:
            one.send(encode_request(request_))
            assert came.acquire(timeout=SOON)
        with dial(listener.address, "127.9.9.3") as last, pytest.raises(RefusedError, match="full"):
            last.receive_reply(Ok)
        go_on.set()
        for one in served:
            assert one.receive_reply(Ok) == Ok()


def test_who_comes_while_one_still_leaves_hangs_up_on_no_other(host):
    leaves = Event()

    def serve(connection):
        echo(connection)
        assert leaves.wait(SOON)

    hurried = Timeouts(accept_pause_s=0.01)
    made = Listener(host, 0, 2, str, hurried, idle_s=0.0)
    with running(made, serve) as listener, ExitStack() as stack:
        stack.callback(leaves.set)
        first, second = (
            stack.enter_context(dial(listener.address, f"127.9.9.{n}")) for n in (1, 2)
        )
        for one in (first, second):  # the first is idle for longer
            assert one.ask(Ls(), Ok) == Ok()
            eventually(lambda: all_idle(listener))
        for number in (3, 4, 5):
            last = stack.enter_context(dial(listener.address, f"127.9.9.{number}"))
            with pytest.raises(RefusedError, match="full"):
                last.receive_reply(Ok)
        assert second.ask(Ls(), Ok) == Ok()
        assert first.receive_line(SOON) is None


def test_without_a_thread_left_a_caller_is_refused_in_words(host, monkeypatch):
    listener = listen(host, 0, 10)
    with running(listener, echo):
        with dial(listener.address) as first:
            assert first.ask(Ls(), Ok) == Ok()
            with monkeypatch.context() as patch:

                class NoThread(Thread):
                    def start(self):
                        raise RuntimeError("can't start new thread")

                patch.setattr(listener_module, "Thread", NoThread)
                with dial(listener.address) as refused, pytest.raises(RefusedError, match="full"):
                    refused.receive_reply(Ok)
            assert first.ask(Ls(), Ok) == Ok()
        with dial(listener.address) as later:
            assert later.ask(Ls(), Ok) == Ok()


# Descriptors.


@contextmanager
def descriptors(count):
    """Allow this process only so many descriptors more than it has open."""
    with socket.socket() as probe:
        highest = probe.fileno()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("files", "most"), [(0, 12), (1, 6)])
def test_where_there_are_few_those_who_are_served_leave_a_quarter(host, monkeypatch, files, most):
    monkeypatch.setattr(listener_module.descriptors, "limit", lambda: 16)
    made = Listener(host, 0, 100, str, files=files)
    with running(made, echo) as listener, ExitStack() as stack:
        served = 0
        with suppress(RefusedError, ConnectionLostError):  # one that is refused has asked already
            for number in range(20):
                source = f"127.{41 + number % 3}.0.1"  # none has half of them
                caller = stack.enter_context(dial(listener.address, source))
                assert caller.ask(Ls(), Ok) == Ok()
                served += 1
        assert served == most


def test_without_a_descriptor_left_a_caller_waits_until_there_is_one(host):
    got = Queue()
    with listen(host, 0, 10) as listener, dial(listener.address) as caller:
        accepting = Thread(target=lambda: got.put(listener.accept()))
        with descriptors(0):
            accepting.start()
            accepting.join(0.3)
            assert accepting.is_alive()
        accepting.join(SOON)
        with got.get_nowait() as accepted:
            assert accepted.remote == caller.local


def test_many_callers_that_use_up_the_descriptors_are_outlived(host):
    """The callers come from this process too, so each needs two descriptors."""
    with running(listen(host, 0, 200), echo) as listener:
        with dial(listener.address) as first, ExitStack() as stack:
            assert first.ask(Ls(), Ok) == Ok()
            with descriptors(7):
                with pytest.raises(ConnectionLostError):
                    for _ in range(20):  # until this side has none left either
                        stack.enter_context(dial(listener.address))
                assert first.ask(Ls(), Ok) == Ok()  # those who are here are still served
        with dial(listener.address) as later:
            assert later.ask(Ls(), Ok) == Ok()


def test_without_a_descriptor_left_it_does_not_spin(host):
    tried = Queue()
    listener = listen(host, 0, 10, accept_pause_s=0.01)
    real = listener._sock
    listener._selector.unregister(real)

    class Exhausted:
        """A listening socket on a machine that has no descriptor left, three times."""

        def fileno(self):
            return real.fileno()

        def close(self):
            real.close()

        def accept(self):
            tried.put(True)
            if tried.qsize() <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return real.accept()

    listener._sock = Exhausted()
    listener._selector.register(listener._sock, selectors.EVENT_READ)
    with running(listener, echo), dial(listener.address) as connection:
        assert connection.ask(Ls(), Ok) == Ok()
    assert tried.qsize() == 4
