"""What errors and events say to a person, in Brazilian Portuguese: one sentence each.

It says what happened, with whom, and what to try. Names inside may be foreign text: ``screens``
makes the sentence harmless before it reaches a terminal.
"""

from __future__ import annotations

from functools import singledispatch

from rede_p2p import errors, events
from rede_p2p.errors import RedeError
from rede_p2p.events import Progress

LONGEST = 120  # characters of a bad line that are repeated


def count(number: int, one: str, many: str) -> str:
    """Say a number of things, which have a word for one and a word for many."""
    return f"{number} {one if number == 1 else many}"


def size(length: float) -> str:
    """Say a number of bytes."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while length >= 1024 and len(units) > 1:
        length /= 1024
        del units[0]
    shown = f"{length:.0f}" if units[0] == "B" else f"{length:.1f}".replace(".", ",")
    return f"{shown} {units[0]}"


def root(digest: bytes | None) -> str:
    """Say a content's root, short: enough to see that two names are one content."""
    return "calculando…" if digest is None else digest.hex()[:12]


LOOKING = "conferindo o que já chegou"


def under_way(now: Progress, rate: float) -> list[str]:
    """Say how far a download is, the most important first; ``rate`` is in bytes a second."""
    said = [f"{size(now.have)} de {size(now.size)}"]
    if now.files > 1:
        said.append(f"{now.files_done}/{now.files} arquivos")
    if now.looking:
        said.append(LOOKING)
    elif now.place:
        said.append(f"na fila, lugar {now.place}")
    elif rate >= 1:
        minutes, seconds = divmod(int((now.size - now.have) / rate), 60)
        said += [f"{size(rate)}/s", f"faltam {minutes}:{seconds:02}"]
    if now.sources > 1:
        said.append(f"{now.sources} fontes")
    return said


def fetched(fresh: int, already: int) -> str:
    """Say how many files came, and how many were here."""
    came = count(fresh, "baixado e verificado", "baixados e verificados")
    return f"{came}, {count(already, 'já estava aqui', 'já estavam aqui')}"


def still_running(downloads: int) -> str:
    """Say what leaving now would end."""
    running = count(downloads, "download em andamento", "downloads em andamento")
    return f"{running}; Ctrl-C de novo para sair"


@singledispatch
def tell(fact: object) -> str:
    """Say an error or an event in one sentence."""
    return f"erro interno: {type(fact).__name__}: {fact}"


_USAGE = {
    "port": "“{}” não é uma porta: use um número de 1 a 65535",
    "first-port": "a primeira porta precisa ser de 1024 a 65535, e não “{}”",
    "ip": "“{}” não é um endereço IP: use a forma 192.168.0.10",
    "option": "opção desconhecida ou sem valor: “{}” (veja --ajuda)",
    "too-many": "palavra a mais: “{}” (veja --ajuda)",
    "quotes": "faltou fechar as aspas em: {}",
    "encoding": "há bytes que não são UTF-8, e os nomes da rede são UTF-8: {}",
    "peers": "peers não leva mais nada; use: peers",
    "ls": "use: ls <IP> <PORTA>   (os endereços estão em peers)   ou só   ls",
    "get": "use: get <IP> <NOME>   ou   get <IP> <PORTA> <NOME>   ou   get <NOME>",
    "blanks": 'ponha aspas no nome, que tem espaços: "{}"',
    "buscar": "use: buscar <TEXTO>",
    "torrent": "use: torrent <NOME>   (um dos seus arquivos)",
    "status": "status não leva mais nada; use: status",
    "cancelar": "use: cancelar <N>   (o número está em status)",
    "no-download": "não há download com o número “{}”: veja em status",
    "esperar": "esperar não leva mais nada; use: esperar",
    "rate": "“{}” não é uma taxa: use bytes por segundo, como 500K ou 5M (a menor é 16K)",
    "ajuda": "não há ajuda sobre “{}”: digite ajuda",
}


@tell.register
def _(fact: errors.BadUsageError) -> str:
    return _USAGE[fact.kind].format(fact.text)


@tell.register
def _(fact: errors.UnknownCommandError) -> str:
    hint = f"você quis dizer {fact.suggestion}?" if fact.suggestion else "digite ajuda"
    return f"não conheço o comando “{fact.word}”: {hint}"


@tell.register
def _(fact: errors.AmbiguousNameError) -> str:
    places = ", ".join(map(str, fact.choices))
    return (
        f"há conteúdos diferentes com o nome {fact.name}, em {places}: "
        f"escolha a porta com get <IP> <PORTA> {fact.name}"
    )


_PROTOCOL = {
    "stranger": "respondeu em outra língua",
    "http": "falou HTTP",
    "unknown-verb": "não existe esse pedido",
    "noise": "isso não é um pedido",
    "long-line": "linha comprida demais: o limite é 64 KiB",
    "not-json": "o que segue o pedido precisa ser um objeto JSON",
    "bad-field": "o campo {} está fora do que se aceita",
    "no-field": "falta o campo {}",
    "bad-count": "mandou uma lista com a contagem errada",
    "bad-length": "anunciou um tamanho diferente do pedido",
}


@tell.register
def _(fact: errors.ProtocolError) -> str:
    return _PROTOCOL[fact.kind].format(fact.detail)


_LOST = {
    "refused": "não há ninguém nessa porta",
    "silent": "não respondeu a tempo",
    "unreachable": "não há caminho de rede até lá",
    "address": "o endereço não serve a partir desta máquina",
    "lost": "a conexão caiu",
    "changed": "o arquivo mudou enquanto era enviado",
    "no-port": "nenhuma das portas oferecidas está livre nesta máquina",
}


@tell.register
def _(fact: errors.ConnectionLostError) -> str:
    return _LOST[fact.reason]


_REFUSED = {
    "full": "está lotado; tente de novo daqui a pouco",
    "version": "fala outra versão do protocolo; atualize os dois programas",
    "no-port": "não tem mais portas para oferecer",
    "join-first": "só quem entrou na rede anuncia: comece com join e ready",
    "too-much": "não guarda mais nomes de um mesmo peer: os que passam disso ninguém acha",
    "not-offered": "isso não foi oferecido a você",
    "no-such-file": "não compartilha esse arquivo",
    "not-here": "não tem mais esse conteúdo",
    "bad-range": "esse intervalo não existe no arquivo",
    "unreadable": "não conseguiu ler o arquivo que compartilha",
    "changed": "o arquivo acaba de mudar; tente de novo",
    "unknown-verb": "não entende esse pedido",
}


@tell.register
def _(fact: errors.RefusedError) -> str:
    return _REFUSED.get(fact.code) or f"recusou: {fact.message or fact.code}"


@tell.register
def _(fact: errors.TrackerUnreachableError) -> str:
    cause = fact.cause
    if isinstance(cause, errors.ProtocolError):
        return (
            f"em {fact.address} há um programa que não é o tracker da Rede P2P "
            f"({tell(cause)}): confira o IP e a porta"
        )
    if isinstance(cause, errors.RefusedError) and cause.code == "unknown-verb":
        return f"em {fact.address} há um peer, não o tracker: use a porta do tracker"
    if isinstance(cause, errors.RefusedError):
        return f"o tracker {fact.address} não aceitou: {tell(cause)}"
    return (
        f"não encontrei o tracker em {fact.address}: {tell(cause)}. "
        "Confira o IP e se o Servidor.py está rodando lá (e o firewall)"
    )


@tell.register
def _(fact: errors.PeerUnreachableError) -> str:
    hint = (
        "" if isinstance(fact.cause, errors.RefusedError) else ". Veja quem está na rede com peers"
    )
    return f"{fact.address}: {tell(fact.cause)}{hint}"


@tell.register
def _(fact: errors.PeerNotListedError) -> str:
    where = fact.ip if fact.port is None else errors.Address(fact.ip, fact.port)
    return f"{where} não está na lista do tracker: veja os endereços com peers"


_PORT = {
    "taken": "a porta {0.port} já está em uso nesta máquina: escolha outra",
    "denied": "a porta {0.port} pede privilégios de administrador: use uma acima de 1023",
    "address": "{0.ip} não é um endereço desta máquina",
    "other": "não consegui escutar em {0}",
}


@tell.register
def _(fact: errors.PortUnavailableError) -> str:
    return _PORT[fact.reason].format(fact.address)


@tell.register
def _(fact: errors.NoSuchFileError) -> str:
    return f"ninguém em {fact.where} compartilha {fact.name}: veja os nomes com ls"


_UNSAFE = {
    "control": "tem caracteres de controle",
    "long": "tem mais de 255 bytes",
    "empty": "está vazio ou tem uma parte vazia",
    "dot": "começa com ponto",
    "separator": "tem “\\” ou “:”",
    "ending": "termina em ponto ou espaço",
    "partial": "termina em .parte, que é de downloads em andamento",
    "reserved": "é reservado no Windows",
}


@tell.register
def _(fact: errors.UnsafeNameError) -> str:
    return f"o nome “{fact.name}” não é seguro e foi recusado: {_UNSAFE[fact.kind]}"


@tell.register
def _(fact: errors.VerificationError) -> str:
    return (
        f"{fact.source} mandou bytes que não são de {fact.name}: nada errado foi guardado; "
        "tente de outro peer"
    )


@tell.register
def _(fact: errors.IncompleteError) -> str:
    share = 100 * fact.have // max(fact.size, 1)
    return (
        f"{fact.name} parou em {share} %: {tell(fact.cause)}. "
        "O que chegou está guardado: repita o get para continuar"
    )


_DISK = {
    "denied": "sem permissão para gravar ou ler em {}",
    "full": "não há espaço no disco para {}",
    "missing": "não existe: {}",
    "not-folder": "há um arquivo onde devia haver uma pasta: {}",
    "name": "o nome não serve neste disco: {}",
    "link": "há um link no lugar do arquivo parcial, e ele não será seguido: {}",
    "link-folder": "uma pasta desse caminho é um link, e ele não será seguido: {}",
    "busy": "já está sendo baixado, nesta janela ou em outra: {}",
    "replaced": "o arquivo parcial foi removido ou trocado enquanto crescia; repita o get: {}",
    "crowded": "o sistema não deixa abrir mais arquivos de uma vez: {}",
    "not-file": "não é um arquivo comum: {}",
    "changed": "o arquivo mudou enquanto era lido: {}",
    "stopped": "a leitura foi interrompida: {}",
}


@tell.register
def _(fact: errors.DiskError) -> str:
    return _DISK.get(fact.kind, "o disco recusou ({1}): {0}").format(fact.path, fact.detail)


@tell.register
def _(fact: errors.PartlyFailedError) -> str:
    missing = "não veio" if fact.failed == 1 else "não vieram; o primeiro"
    return f"{fact.failed} de {fact.total} {missing}: {tell(fact.first)}"


@tell.register
def _(_fact: errors.InterruptedByUserError) -> str:
    return "interrompido: o que chegou está guardado, repita o get para continuar"


@tell.register
def _(_fact: errors.StoppedWaitingError) -> str:
    return "parei de esperar; os downloads continuam: veja status"


@tell.register
def _(fact: events.PeerJoined) -> str:
    return f"entrou {fact.peer}"


@tell.register
def _(fact: events.PeerLeft) -> str:
    return f"saiu {fact.peer}"


@tell.register
def _(fact: events.TrackerLost) -> str:
    return (
        f"o tracker {fact.tracker} não responde: tento de novo sozinho; "
        "até lá valem ls <IP> <PORTA> e get <IP> <NOME>"
    )


@tell.register
def _(fact: events.TrackerBack) -> str:
    return f"o tracker {fact.tracker} voltou; minha porta é {fact.port}"


@tell.register
def _(fact: events.TrackerMoved) -> str:
    return f"mudei para o tracker {fact.tracker}, da mesma máquina; minha porta é {fact.port}"


@tell.register
def _(fact: events.FilesServed) -> str:
    what = fact.name if fact.files == 1 else f"{fact.files} arquivos"
    return f"{fact.to} baixou {what} ({size(fact.size)})"


@tell.register
def _(fact: events.Preparing) -> str:
    percent = 100 * fact.done // max(fact.size, 1)
    return f"o outro peer está calculando a raiz do arquivo ({percent} %): espere"


@tell.register
def _(fact: events.TransferEnded) -> str:
    title = f"[{fact.number}] {fact.title}"
    if not fact.failures:
        return f"{title}: {'baixado e verificado' if fact.files == 1 else 'baixados e verificados'}"
    reason = tell(fact.failures[0])
    if fact.files > 1:
        return f"{title}: {count(len(fact.failures), 'falhou', 'falharam')}; {reason}"
    if reason.startswith(fact.title):
        return f"[{fact.number}] {reason}"
    return f"{title}: {reason}"


_LIST = {
    "encoding": "não está em UTF-8 (grave o arquivo como UTF-8): {}",
    "quote": "faltou fechar as aspas: {}",
    "no-path": "faltou o caminho depois do nome: {}",
    "missing": "não existe o arquivo {}",
    "denied": "sem permissão para ler {}",
    "twice": "o nome {} já apareceu antes; vale o primeiro",
    "name-unsafe": "nome que não se pode compartilhar: {}",
}


@tell.register
def _(fact: events.ListProblem) -> str:
    if fact.kind == "not-list":
        return (
            f"{fact.path} não parece uma lista de arquivos (texto UTF-8, um arquivo por linha); "
            "nada está sendo compartilhado"
        )
    if not fact.line:
        reason = _DISK.get(fact.kind, "não consegui ler {}").format(fact.text)
        return f"lista de arquivos: {reason}; nada está sendo compartilhado"
    kind, _, fault = fact.kind.partition("-")
    text = fact.text if len(fact.text) <= LONGEST else fact.text[: LONGEST - 1] + "…"
    if kind == "name" and fault in _UNSAFE:
        reason = f"o nome “{text}” {_UNSAFE[fault]}"
    else:
        reason = _LIST[fact.kind].format(text)
    return f"{fact.path}, linha {fact.line}: {reason}"


@tell.register
def _(fact: events.MoreListProblems) -> str:
    return f"{fact.path}: e mais {count(fact.lines, 'linha', 'linhas')} com problema"


@tell.register
def _(fact: events.InternalError) -> str:
    return f"erro interno: {type(fact.error).__name__}: {fact.error}"


def refusal(error: RedeError) -> str:
    """Say an error to the other side of the wire, in at most 500 characters."""
    return tell(error)[:500]
