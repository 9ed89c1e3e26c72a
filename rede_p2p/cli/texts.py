"""Brazilian Portuguese for what the programs show: numbers, progress, errors, events.

A name in a sentence may be foreign text: ``terminal`` escapes it.
"""

from collections.abc import Sequence

from rede_p2p import events
from rede_p2p.cli.error_texts import DISK, LOST, UNSAFE, describe_bug, describe_error
from rede_p2p.content.safe_names import normal_form
from rede_p2p.errors import RedeError, RefusedError
from rede_p2p.events import Event, Progress, Summary
from rede_p2p.net.interfaces import Kind

MIN_TOLD_BYTES = 1024 * 1024  # of which a rate and the sources are told at the end
THIS_PEER = "este peer"
MAX_QUOTED_CHARS = 120  # characters of a bad line that are repeated

LIST_LINE = {  # what is wrong with a line of the share list
    "encoding": "não está em UTF-8 (grave o arquivo como UTF-8): {}",
    "quote": "faltou fechar as aspas: {}",
    "no-path": "faltou o caminho depois do nome: {}",
    "missing": "não existe o arquivo {}",
    "denied": "sem permissão para ler {}",
    "not-file": "não é um arquivo nem uma pasta: {}",
    "twice": "o nome {} já apareceu antes; vale o primeiro",
    "name-unsafe": "nome que não se pode compartilhar: {}",
    "too-large": "tem mais de 1 PiB, o máximo que se compartilha: {}",
}

NETWORKS: dict[Kind, str] = {  # what the network of an interface seems to be
    "": "",
    "container": "parece ser do docker",
    "virtual": "parece ser de uma máquina virtual",
    "vpn": "parece ser de uma VPN",
}

_NETWORK: dict[type[Event], str] = {  # {0.peer} is a field of the event
    events.PeerJoined: "entrou {0.peer}",
    events.PeerLeft: "saiu {0.peer}",
    events.TrackerLost: "o tracker {0.tracker} não responde: tento de novo sozinho; "
    "até lá valem ls <IP> <PORTA> e get <IP> <NOME>",
    events.TrackerBack: "o tracker {0.tracker} voltou; minha porta é {0.port}",
    events.TrackerMoved: "mudei para o tracker {0.tracker}; minha porta é {0.port}",
    events.NamesRefused: "são nomes demais para o tracker {0.tracker}: os que passam do limite não "
    "se acham por buscar nem get <NOME>; valem ls <IP> <PORTA> e get <IP> <NOME>",
    events.ProgramPacked: "SHA-256 de {0.file}: {0.sha256}",
}

READING = "o outro peer está lendo a lista dele, que é longa: espere"


def count(number: int, one: str, many: str) -> str:
    """Return a number with its noun, ``one`` in the singular and ``many`` in the plural."""
    return f"{number} {one if number == 1 else many}"


def size(length: float) -> str:
    """Return a number of bytes with its unit."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while length >= 1024 and len(units) > 1:
        length /= 1024
        del units[0]
    number = f"{length:.0f}" if units[0] == "B" else f"{length:.1f}".replace(".", ",")
    return f"{number} {units[0]}"


def root(digest: bytes | None) -> str:
    """Return the first 12 digits of a root, enough to tell two contents apart."""
    return "calculando…" if digest is None else digest.hex()[:12]


def speed(length: float, seconds: float) -> str:
    """Return the rate of a number of bytes in some seconds."""
    return f"{size(length / max(seconds, 0.001))}/s"


def duration(seconds: float) -> str:
    """Return a time with its units, the smallest of use."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".", ",")
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def milliseconds(seconds: float) -> str:
    """Return a short time."""
    return f"{1000 * seconds:.1f} ms".replace(".", ",")


def unreached(reason: str) -> str:
    """Return why a tracker, or a later one, could not call this peer back; "" where it could."""
    if not reason:
        return ""
    if reason == "stranger":
        return "respondeu outro programa"
    return next((told for known, told in LOST.items() if known == reason), "não foi alcançada")


def peer_name(name: str, *, you: bool) -> str:
    """Return what a table shows of a peer's name; no other can pass for this peer."""
    if you:
        return f"{THIS_PEER} ({name})" if name else THIS_PEER
    return f"“{name}”" if THIS_PEER in normal_form(name).casefold() else name


def called(address: object, name: str) -> str:
    """Return an address, or a sentence that ends with it, and what is there by its own word."""
    return f"{address} ({name})" if name else str(address)


def came_from(summary: Summary) -> str:
    """Return how much the peers brought that the person did not name, or how many brought it."""
    others = summary.from_others
    if others:
        percent = 100 * sum(others.values()) // summary.size
        share = f"{percent} %" if percent else "menos de 1 %"
        return f"{share} de {count(len(others), 'outro peer', 'outros peers')}"
    return f"de {len(summary.brought)} peers" if len(summary.brought) > 1 else ""


def summary(brought: Summary) -> str:
    """Return what a transfer brought, in what time, and from whom; "" where that is not much."""
    if brought.size < MIN_TOLD_BYTES:
        return ""
    rate = speed(brought.size, brought.seconds)
    whom = came_from(brought)
    return f"{size(brought.size)} em {duration(brought.seconds)}, {rate}{whom and '; '}{whom}"


def waiting(now: Progress) -> str:
    """Return why a download receives nothing now, or "" where nothing keeps it waiting."""
    if now.rechecking:
        return "verificando o que já chegou"
    if now.size and now.have >= now.size:
        return "gravando no disco"
    return f"na fila, lugar {now.place}" if now.place else ""


def under_way(now: Progress, rate: float) -> list[str]:
    """List the figures of a download, the most important first; ``rate`` is in bytes a second."""
    figures = [f"{size(now.have)} de {size(now.size)}"]
    if now.files > 1:
        figures.append(f"{now.files_done}/{now.files} arquivos")
    if reason := waiting(now):
        figures.append(reason)
    elif rate >= 1:
        figures += [speed(rate, 1), f"faltam {_clock((now.size - now.have) / rate)}"]
    if now.sources > 1:
        figures.append(f"{now.sources} fontes")
    return [*figures, percent(now.have, now.size)]


def _clock(seconds: float) -> str:
    """Return a time as a clock shows it, and no more than a clock can."""
    minutes, left = divmod(min(int(seconds), 99 * 3600 + 3599), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def percent(have: int, size: int) -> str:
    """Return how much there is of what is not finished: never 100 %."""
    return f"{min(100 * have // max(size, 1), 99)} %"


def of_source(count: int, came: int, rate: float) -> list[str]:
    """List the figures of a source, which brought ``count`` of the bytes that came."""
    return [speed(rate, 1), f"{100 * count // max(came, 1)} % do que veio"]


def grouped(number: int) -> str:
    """Return a number with a point after each three digits: 10.000."""
    return f"{number:,}".replace(",", ".")


def more(number: int) -> str:
    """Return how many are not shown."""
    return f"… e mais {grouped(number)}"


def title(names: Sequence[str]) -> str:
    """Return the name of a transfer: its file, or the number of its files."""
    return names[0] if len(names) == 1 else f"{len(names)} arquivos"


def fetched(fresh: int, already: int) -> str:
    """Return how many files were downloaded, and how many this peer had already."""
    came = count(fresh, "baixado e verificado", "baixados e verificados")
    return f"{came}, {count(already, 'já estava aqui', 'já estavam aqui')}"


def cut(shown: int, total: int) -> str:
    """Return that a list has more than is shown of it."""
    return f"mostrando {grouped(shown)} de {grouped(total)}; buscar <TEXTO> mostra menos"


def empty_folders(made: int) -> str:
    """Return how many empty folders of a download were made."""
    return count(made, "pasta vazia criada", "pastas vazias criadas")


def unlisted(files: int) -> str:
    """Return that some files are not in the list in which a pattern was looked for."""
    return f"a lista do outro peer veio cortada: ele tem mais {count(files, 'arquivo', 'arquivos')}"


def still_running(downloads: int) -> str:
    """Return what leaving now would cancel."""
    running = "download em andamento", "downloads em andamento"
    return f"{count(downloads, *running)}; Ctrl-C de novo para sair"


def moved(kind: type[Event], peers: int) -> str:
    """Return how many peers came or went."""
    return f"{'entraram' if kind is events.PeerJoined else 'saíram'} {peers} peers"


def served(several: Sequence[events.FilesServed]) -> str:
    """Return who took what, of one or several in one line."""
    to = {one.to for one in several}
    one = called(several[0].to, several[0].peer)
    who = f"{len(to)} peers baixaram" if len(to) > 1 else f"{one} baixou"
    names, files = {one.name for one in several}, sum(one.files for one in several)
    one_name = len(names) == 1 and all(one.files == 1 for one in several)
    what = names.pop() if one_name else f"{files} arquivos"
    what += f", {files} vezes" if one_name and files > 1 and len(to) == 1 else ""
    return f"{who} {what} ({size(sum(one.size for one in several))})"


def describe(fact: RedeError | Event) -> str:
    """Return one sentence about an error or an event."""
    match fact:
        case RedeError():
            return describe_error(fact)
        case events.TransferEnded():
            return _transfer_ended(fact)
        case events.ListProblem():
            return _list_problem(fact)
        case events.MoreListProblems(path, lines):
            return f"{path}: e mais {count(lines, 'linha', 'linhas')} com problema"
        case events.FilesServed():
            return served([fact])
        case events.Preparing():
            return _preparing(fact)
        case events.InternalError(error):
            return describe_bug(error)
        case _:
            name = getattr(fact, "name", "")  # of who joined or left
            return called(_NETWORK[type(fact)].format(fact), name)


def is_trouble(event: Event) -> bool:
    """Tell whether an event is of an error, which is told also where notes are not."""
    if isinstance(event, events.TransferEnded):
        return bool(event.failures)
    return isinstance(event, events.ListProblem | events.MoreListProblems | events.InternalError)


def _transfer_ended(event: events.TransferEnded) -> str:
    name, many = title(event.names), len(event.names) > 1
    if not event.failures:
        done = "baixados e verificados" if many else "baixado e verificado"
        told = summary(event.summary)
        return f"[{event.number}] {name}: {done}{told and '; '}{told}"
    reason = describe_error(event.failures[0])
    if many:
        failed = count(len(event.failures), "falhou", "falharam")
        return f"[{event.number}] {name}: {failed}; {reason}"
    return f"[{event.number}] {reason if reason.startswith(name) else f'{name}: {reason}'}"


def _preparing(event: events.Preparing) -> str:
    if not event.size:
        return "o arquivo acaba de mudar lá, ou ainda está sendo gravado: espere"
    done = percent(event.done, event.size)
    return f"o outro peer está calculando a raiz do arquivo ({done}): espere"


def _list_problem(event: events.ListProblem) -> str:
    if not event.line:
        sentence = "não consegui ler {}" if event.kind == "other" else DISK[event.kind]
        reason = sentence.format(event.text, "")
        return f"lista de arquivos: {reason}; nada está sendo compartilhado"
    long = len(event.text) > MAX_QUOTED_CHARS
    text = event.text[: MAX_QUOTED_CHARS - 1] + "…" if long else event.text
    if event.kind in LIST_LINE:
        reason = LIST_LINE[event.kind].format(text)
    else:
        reason = f"o nome “{text}” {UNSAFE[event.kind.removeprefix('name-')]}"
    return f"{event.path}, linha {event.line}: {reason}"


def refusal(error: RedeError) -> str:
    """Return the sentence that goes to the other side of the wire, of at most 500 characters."""
    if isinstance(error, RefusedError) and error.code == "full":
        return "lotado: tente de novo daqui a pouco"
    return describe_error(error)[:500]
