"""From what ``diagnostico`` found to its cause, and to one sentence of advice. No I/O.

The causes are tried in the order of the path: what comes first explains what comes after it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rede_p2p.cli.error_texts import describe_error
from rede_p2p.cli.probe import Probe
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    RedeError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.net.address import OwnAddress, is_loopback

QUICK_S = 2.0  # a firewall refuses sooner, and a machine that is gone is missed after 3 s
MIN_FREE_BYTES = 16 * 1024 * 1024  # on the disk of the downloads
FIRST_PORT, LAST_PORT = 5455, 5555  # of the peers of one machine, to open in its firewall

Cause = Literal[
    "", "address", "alone", "clock", "disk", "dropped", "full-disk", "gone", "here", "join", "mute",
    "nat", "no-network", "no-route", "other-program", "peer", "peer-blocked", "peers-blocked",
    "port-dropped", "port-other", "port-rejected", "rejected", "silent", "tracker-down", "vpn",
    "wrong-port",
]  # fmt: skip


@dataclass
class Facts:
    """What was found, as far as it was looked for."""

    own: Sequence[OwnAddress] = ()  # by which other machines know this one
    source: str | None = None  # the one that --ip says
    tracker: Address | None = None
    way: OwnAddress | None = None  # from which this machine goes to the tracker
    by_udp: int | None = None  # the port that the tracker's machine told
    tracked: Probe | None = None  # the tracker
    neighbour: bool | None = None  # whether the tracker's machine is on the link
    error: RedeError | None = None  # why the network was not joined
    listed: Address | None = None  # how the tracker lists this peer
    reached: str | None = None  # why not from outside, "" if it is, None if that is not known
    peers: list[tuple[Address, Probe]] = field(default_factory=list)
    others: int = 0  # how many there are, looked at or not
    free: int | None = None  # bytes on the disk
    disk: DiskError | None = None
    is_late: bool = False  # the clock

    @property
    def is_here(self) -> bool:
        """Whether the tracker is on this machine."""
        ip = self.tracker.ip if self.tracker else ""
        return bool(ip) and (is_loopback(ip) or ip in {one.ip for one in self.own})

    @property
    def blocked(self) -> list[Address]:
        """The peers that were looked at and cannot be connected to."""
        return [address for address, found in self.peers if not found.connected]


def cause_of(facts: Facts) -> Cause:
    """Return the first cause on the path; "" where all is well."""
    for look in (
        _of_what_was_typed,
        _of_machine,
        _of_tracker,
        _of_join,
        _of_port,
        _of_peers,
        _of_rest,
    ):
        if cause := look(facts):
            return cause
    return ""


def _of_what_was_typed(facts: Facts) -> Cause:
    # By UDP it is asked only where it did not answer by TCP.
    is_wrong = facts.tracker and facts.by_udp not in (None, facts.tracker.port)
    return "wrong-port" if is_wrong else ""


def _of_machine(facts: Facts) -> Cause:
    is_answered = facts.tracked is not None and facts.tracked.error is None
    if not facts.own and (facts.is_here or not is_answered):  # a cable alone is a network
        return "no-network"
    if facts.tracker and facts.way is None:
        return "no-route"
    return ""


def _of_tracker(facts: Facts) -> Cause:
    found, tracker = facts.tracked, facts.tracker
    if found is None or tracker is None or found.error is None:
        return ""
    match found.error:
        case RefusedError("unknown-verb"):
            return "peer"
        case RefusedError():
            return "join"
        case ConnectionLostError("silent") if found.connected:
            return "mute"
        case ConnectionLostError(reason) if not found.connected:
            return _of_silence(facts, reason, found.seconds)
    return "other-program"


def _of_silence(facts: Facts, reason: str, seconds: float) -> Cause:
    """Return why nobody accepted a connection."""
    if facts.is_here:
        return "here"
    if reason == "address":
        return "address"
    if reason == "refused":
        return "tracker-down" if facts.by_udp is None else "rejected"
    if facts.way is not None and facts.way.kind == "vpn":
        return "vpn"
    if facts.neighbour is False:
        return "gone"
    if reason == "unreachable":
        return "rejected" if facts.neighbour or seconds < QUICK_S else "gone"
    return "dropped" if facts.neighbour or facts.by_udp is not None else "silent"


def _of_join(facts: Facts) -> Cause:
    return "join" if facts.error is not None else ""


def _of_port(facts: Facts) -> Cause:
    source = (facts.source or (facts.way.ip if facts.way else "")).partition("%")[0]
    listed = facts.listed and facts.listed.ip.partition("%")[0]  # the zone is of each machine
    if listed and source and listed != source and not facts.is_here:
        return "nat"
    match facts.reached:
        case "silent":
            return "port-dropped"
        case "refused" | "unreachable":
            return "port-rejected"
        case "stranger" | "lost":
            return "port-other"
    return ""


def _of_peers(facts: Facts) -> Cause:
    if not facts.blocked:
        return ""
    return "peers-blocked" if len(facts.blocked) == len(facts.peers) > 1 else "peer-blocked"


def _of_rest(facts: Facts) -> Cause:
    if facts.disk is not None:
        return "full-disk" if facts.disk.kind == "full" else "disk"
    if facts.free is not None and facts.free < MIN_FREE_BYTES:
        return "full-disk"
    if facts.is_late:
        return "clock"
    if facts.is_here and not facts.others:
        return "alone"
    return ""


_ADVICE: dict[Cause, str] = {
    "": "daqui está tudo certo; se outra máquina não chega a esta, faça diagnostico nela",
    "address": "{tracker.ip} não serve a partir desta máquina (--ip {source}): tire o --ip, ou "
    "confira o endereço",
    "alone": "falta alguém entrar: em outra máquina, digite {program} {likeliest} {tracker.port}; "
    "se ela não chegar aqui, abra a porta do tracker no firewall desta, como acima",
    "clock": "o relógio desta máquina está atrasado: acerte-o, porque as datas dos arquivos "
    "dizem o que mudou",
    "disk": "{disk}: escolha outra pasta com --pasta",
    "dropped": "a máquina {tracker.ip} existe, e um firewall nela cala as conexões à porta "
    "{tracker.port} (no Windows, isso também é não haver um tracker): abra a porta lá, como acima",
    "full-disk": "o disco dos downloads está cheio: apague algo, ou escolha outra pasta com "
    "--pasta",
    "gone": "não há uma máquina ligada em {tracker.ip} nesta rede: confira o IP, e se as duas "
    "estão na mesma rede",
    "here": "não há tracker nesta máquina na porta {tracker.port}: digite o IP da máquina em que "
    "ele está, ou abra um aqui com {server}",
    "join": "chega-se ao tracker, mas não se entra: {error}",
    "mute": "há um programa em {tracker} que aceita e não responde: confira a porta; se é o "
    "tracker, ele parou, e precisa ser aberto de novo",
    "nat": "o tracker vê esta máquina como {listed.ip}, e ela é {own}: há um NAT no caminho "
    "(máquina virtual, WSL, outro roteador), e os outros não chegam a ela; ponha-a na rede deles "
    "(modo bridge)",
    "no-network": "esta máquina não está em rede nenhuma: ligue o cabo ou o Wi-Fi",
    "no-route": "esta máquina não tem caminho até {tracker.ip}: as duas não estão na mesma rede, "
    "ou falta a rota",
    "other-program": "em {tracker} há um programa que não é o tracker da Rede P2P: confira o IP e "
    "a porta",
    "peer": "em {tracker} há um peer, não o tracker: use a porta do tracker, em geral 9450",
    "peer-blocked": "um firewall em {blocked} não deixa chegar ao peer de lá: abra nessa máquina "
    "a porta dele, como acima",
    "peers-blocked": "daqui não se chega a nenhum dos outros peers: a rede isola as máquinas umas "
    "das outras (Wi-Fi de visitantes?), ou um firewall em cada uma fecha a porta, que se abre "
    "como acima",
    "port-dropped": "um firewall nesta máquina cala quem vem à porta {listed.port}: daqui se "
    "baixa, mas ninguém baixa desta máquina; abra a porta, como acima",
    "port-other": "quem responde por esta máquina na porta {listed.port} não é este programa: um "
    "antivírus, um proxy ou um NAT está no caminho",
    "port-rejected": "um firewall nesta máquina recusa quem vem à porta {listed.port}: daqui se "
    "baixa, mas ninguém baixa desta máquina; abra a porta, como acima",
    "rejected": "um firewall em {tracker.ip}, ou no caminho, recusa conexões à porta "
    "{tracker.port}: abra a porta lá, como acima",
    "silent": "nada responde em {tracker.ip}: a máquina está desligada, está em outra rede, ou um "
    "firewall a cala; confira o IP e abra a porta lá, como acima",
    "tracker-down": "a máquina {tracker.ip} responde, mas não há programa na porta "
    "{tracker.port}: abra o tracker nela ({server}) e confira a porta; se ele está aberto, um "
    "firewall lá recusa, e a porta se abre como acima",
    "vpn": "o caminho até {tracker.ip} passa por {way.interface}, que parece ser de uma VPN: "
    "desligue a VPN e tente de novo",
    "wrong-port": "o tracker de {tracker.ip} está na porta {by_udp}, e não na {tracker.port}: "
    "digite {program} {tracker.ip} {by_udp}",
}
_AT_HERE = {"alone", "port-dropped", "port-rejected"}
_AT_TRACKER = {"alone", "dropped", "rejected", "silent", "tracker-down"}
_AT_PEER = {"peer-blocked", "peers-blocked", "port-dropped", "port-rejected"}


def advise(cause: Cause, facts: Facts, program: str, server: str) -> str:
    """Return the sentence of advice; the programs are named as they are to be typed."""
    return _ADVICE[cause].format(
        program=program,
        server=server,
        tracker=facts.tracker or Address("?", 0),
        source=facts.source,
        by_udp=facts.by_udp,
        way=facts.way,
        own=facts.source or (facts.way.ip if facts.way else ""),
        likeliest=facts.own[0].ip if facts.own else "",
        listed=facts.listed or Address("?", 0),
        blocked=facts.blocked[0].ip if facts.blocked else "",
        error=describe_error(facts.error) if facts.error else "",
        disk=describe_error(facts.disk) if facts.disk else "",
    )


def lines_to_open(cause: Cause, facts: Facts) -> list[tuple[str, str]]:
    """List what to type on each system, where a firewall is the cause, to open what it closes."""
    if cause in _AT_TRACKER and facts.tracker is not None:
        first = last = facts.tracker.port
    elif cause in _AT_PEER:
        first, last = FIRST_PORT, LAST_PORT
        port = facts.listed.port if cause.startswith("port-") and facts.listed else first
        if not first <= port <= last:
            first = last = port
    else:
        return []
    ports, of_ufw = (f"{first}-{last}", f"{first}:{last}") if last > first else (f"{first}",) * 2
    lines = [
        (
            "no Windows (PowerShell, como administrador)",
            'netsh advfirewall firewall add rule name="Rede P2P" dir=in action=allow '
            f"protocol=TCP localport={ports}",
        ),
        ("com ufw (Ubuntu)", f"sudo ufw allow {of_ufw}/tcp"),
        ("com firewalld (Fedora)", f"sudo firewall-cmd --add-port={ports}/tcp"),
    ]
    if cause in _AT_HERE:  # whose system is known
        return lines[:1] if os.name == "nt" else lines[1:]
    return lines


def status_of(cause: Cause, facts: Facts) -> int:
    """Return the exit status: that of the error that the cause would be."""
    if cause in ("", "alone", "clock"):
        return 0
    if cause in ("disk", "full-disk"):
        return DiskError.status
    if cause in ("peer-blocked", "peers-blocked"):
        return ConnectionLostError.status
    if cause in ("nat", "no-network") or cause.startswith("port-"):
        return RedeError.status
    joining = facts.error if cause == "join" else None
    return joining.status if joining is not None else TrackerUnreachableError.status
