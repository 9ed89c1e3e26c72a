"""The command ``diagnostico``: it walks the path to the others and ends in a sentence of advice.

Each line is shown as soon as it is known; each look has a deadline. Without a tracker to join it
runs alone (``run_alone``), as ``Peers.py <IP> -c diagnostico`` has it.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, strftime, time

from rede_p2p import __version__
from rede_p2p.cli import texts
from rede_p2p.cli.advice import Facts, advise, cause_of, lines_to_open, status_of
from rede_p2p.cli.installation import typed
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.probe import Probe, hurried, measure, probe, within
from rede_p2p.cli.session import Session
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content import disk
from rede_p2p.errors import Address, DiskError, RedeError, RefusedError, TrackerUnreachableError
from rede_p2p.net import discovery
from rede_p2p.net.address import OwnAddress, own_addresses, way_to
from rede_p2p.net.interfaces import answers_on_the_link
from rede_p2p.protocol.messages import PROTOCOL_VERSION, Ping, Quit, Reach, Reached
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.joining import ask

MAX_PEERS = 8  # looked at; of the others only the number is told
SLACK_S = 24 * 3600.0  # by which this program's files may be newer than now: time zones
Disk = tuple[int | None, DiskError | None]  # free bytes, and why none can be written
_STATES = {True: "certo", False: "falha", None: "não sei"}


def diagnose(session: Session) -> None:
    """Walk the path of a peer that is in the network."""
    context, tracker = session.context, session.client.tracker
    looking = Diagnosis(session.terminal, context.folder, session.own_ip, context.timeouts)
    looking.run(tracker.ip, tracker.port, lambda: session)


def run_alone(chosen: PeerOptions, terminal: Terminal, join: Callable[[], Session]) -> int:
    """Do the same before the network is joined, and where it cannot be; return the exit status."""
    return Diagnosis(terminal, chosen.folder, chosen.own_ip).run(chosen.ip, chosen.port, join)


class Diagnosis:
    """One walk along the path. Used by the main thread."""

    def __init__(
        self, terminal: Terminal, folder: Path, source: str | None, timeouts: Timeouts = DEFAULT
    ) -> None:
        self._terminal = terminal
        self._folder = folder
        self._timeouts = timeouts
        self._facts = Facts(source=source)

    def run(self, ip: str | None, port: int | None, join: Callable[[], Session]) -> int:
        """Walk the path, the tracker being at ``ip`` if that is known; return the exit status."""
        facts = self._facts
        self._look_at_the_machine()
        session: Session | None = None
        if ip is None or self._look_at_the_tracker(ip, port):
            session = self._join(join)
        if session is not None:
            self._look_at_the_port(session)
            self._look_at_the_peers(session)
        cause = cause_of(facts)
        for system, line in lines_to_open(cause, facts):
            fact = {"system": system, "command": line}
            self._terminal.data(f"para abrir a porta, {system}: {line}", fact)
        programs = typed("Peers.py"), typed("Servidor.py")
        advice, status = advise(cause, facts, *programs), status_of(cause, facts)
        end = {"advice": advice, "cause": cause, "status": status}
        self._terminal.data(f"conselho: {advice}", end)
        return status

    def _tell(self, name: str, ok: bool | None, text: str) -> None:
        fact = {"look": name, "ok": ok, "text": text}
        self._terminal.data(f"[{_STATES[ok]}] {name}: {text}", fact)

    def _look_at_the_machine(self) -> None:
        facts, look_s = self._facts, self._timeouts.look_s
        about = f"Python {platform.python_version()}, {platform.system()}"
        self._tell("programa", True, f"{__version__} (protocolo {PROTOCOL_VERSION}), {about}")
        with suppress(OSError):
            facts.is_late = time() < Path(__file__).stat().st_mtime - SLACK_S
        self._tell("relógio", not facts.is_late, strftime("%d/%m/%Y %H:%M"))
        unknown: Disk = (None, None)
        facts.free, facts.disk = within(look_s, partial(_look_at_disk, self._folder), unknown)
        if facts.disk is not None:
            self._tell("disco", False, texts.describe(facts.disk))
        elif facts.free is None:
            self._tell("disco", None, f"não disse a tempo quanto há livre: {self._folder}")
        else:
            self._tell("disco", True, f"{texts.size(facts.free)} livres: {self._folder}")
        facts.own = within(look_s, own_addresses, [])
        shown = "; ".join(map(_about, facts.own)) or "nenhum"
        self._tell("endereços desta máquina", bool(facts.own), shown)

    def _look_at_the_tracker(self, ip: str, port: int | None) -> bool:
        """Tell whether the tracker answers at ``ip``, on ``port`` or the one it tells by UDP."""
        facts = self._facts
        facts.tracker = Address(ip, port or discovery.WELL_KNOWN_PORT)
        facts.way = self._way(ip)
        if facts.way is None:
            self._tell("tracker", False, f"{facts.tracker}: não há caminho de rede até lá")
            return False
        found = self._probe_tracker(facts.tracker)
        if found.error is not None:
            # Only now: a router tells of few packets that it refuses, and must of that one.
            facts.by_udp = discovery.find(ip, facts.source, self._timeouts)
            if port is None and facts.by_udp not in (None, facts.tracker.port):
                facts.tracker = facts.tracker._replace(port=facts.by_udp)
                found = self._probe_tracker(facts.tracker)
        facts.tracked = found
        if found.error is None:
            delay = texts.milliseconds(found.seconds)
            self._tell("tracker", True, f"{facts.tracker}: responde em {delay}")
            return True
        if isinstance(found.error, RefusedError):
            facts.error = TrackerUnreachableError(facts.tracker, found.error)
        if not found.connected:
            facts.neighbour = answers_on_the_link(ip)
        by_udp = f"por UDP, é a porta {facts.by_udp}" if facts.by_udp else "por UDP, calado"
        reason = texts.describe(found.error)
        self._tell("tracker", False, f"{facts.tracker}: {reason}; {by_udp}")
        return False

    def _way(self, ip: str) -> OwnAddress | None:
        way = way_to(ip)
        named = {one.ip: one for one in self._facts.own}
        return None if way is None else named.get(way, OwnAddress(way, "", ""))

    def _probe_tracker(self, address: Address) -> Probe:
        timeouts = hurried(self._timeouts, self._timeouts.probe_s)
        return probe(address, Ping(), self._facts.source, timeouts)

    def _join(self, join: Callable[[], Session]) -> Session | None:
        """Join the network, unless it is joined already; keep the error where that fails."""
        facts = self._facts
        try:
            session = join()
        except RedeError as error:
            facts.error = error
            self._tell("entrar na rede", False, texts.describe(error))
            return None
        if facts.tracker is None:  # it was searched for, or opened here
            facts.tracker = session.client.tracker
            facts.way = self._way(facts.tracker.ip)
        return session

    def _look_at_the_port(self, session: Session) -> None:
        facts, client = self._facts, session.client
        what = f"minha porta, {client.port}, vista de fora"
        for member in client.roster().members:
            if member.you:
                facts.listed = Address(member.ip, member.port)
        timeout = 2 * self._timeouts.call_back_s + self._timeouts.probe_peer_s
        try:
            reached = client.call(lambda c: ask(c, Reach(), Reached, timeout)).reason
        except TrackerUnreachableError as error:
            old = isinstance(error.cause, RefusedError) and error.cause.code == "unknown-verb"
            why = "o tracker é de uma versão que não responde a isso" if old else ""
            self._tell(what, None, why or texts.describe(error.cause))
            return
        if reached in ("here", "address"):
            why = "o tracker é desta máquina" if reached == "here" else "o tracker não a alcança"
            self._tell(what, None, f"{why}, e não há outra a quem perguntar")
            return
        facts.reached = reached
        reason = texts.unreached(reached)
        self._tell(what, not reached, reason or f"o tracker conecta a ela em {facts.listed}")

    def _look_at_the_peers(self, session: Session) -> None:
        """Look at each peer at once, and measure the rates one after the other."""
        facts, source, timeouts = self._facts, self._facts.source, self._timeouts
        others = [Address(m.ip, m.port) for m in session.client.roster().members if not m.you]
        facts.others = len(others)
        quick = hurried(timeouts, timeouts.probe_peer_s)
        with ThreadPoolExecutor(MAX_PEERS, "look") as pool:
            chosen = others[:MAX_PEERS]
            looks = [pool.submit(probe, address, Quit(), source, quick) for address in chosen]
            end = monotonic() + timeouts.rates_s
            for address, look in zip(chosen, looks, strict=True):
                found = look.result()
                facts.peers.append((address, found))
                if found.error is not None and not isinstance(found.error, RefusedError):
                    self._tell(f"peer {address}", False, texts.describe(found.error))
                    continue
                rate = measure(address, source, quick) if monotonic() < end else None
                shown = f", envia {texts.size(rate)}/s" if rate else ""
                delay = texts.milliseconds(found.seconds)
                self._tell(f"peer {address}", True, f"responde em {delay}{shown}")
        if len(others) > MAX_PEERS:
            more = texts.count(len(others) - MAX_PEERS, "peer", "peers")
            self._tell("outros", None, f"e mais {more}, a que não olhei")


def _about(own: OwnAddress) -> str:
    about = ", ".join(filter(None, (own.interface, texts.NETWORKS[own.kind])))
    return f"{own.ip} ({about})" if about else own.ip


def _look_at_disk(folder: Path) -> Disk:
    """Return how many bytes are free for downloads, and why none can be written."""
    place = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
    try:
        with disk.translate_os_errors(place):
            free = shutil.disk_usage(place).free
            with tempfile.TemporaryFile(dir=place) as file:
                file.write(b"\0")
        return free, None
    except DiskError as error:
        return None, error
