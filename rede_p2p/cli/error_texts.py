"""The sentence for each error, in Brazilian Portuguese: what happened, with whom, what to try.

The tables have a sentence for every kind of an error: tests/cli/test_error_texts.py compares them
with the Literals in ``errors``. A name in a sentence may be foreign text: ``terminal`` escapes it.
"""

import errno
from collections.abc import Iterable

from rede_p2p import errors
from rede_p2p.cli.installation import typed
from rede_p2p.content.on_windows import short
from rede_p2p.errors import (
    LostReason,
    MachineReason,
    PortReason,
    ProtocolKind,
    RedeError,
    ShareKind,
    UsageKind,
)

MAX_ECHO_CHARS = 60  # of an unknown command that are repeated
MAX_CHOICES = 8  # peers of one name that a sentence tells

USAGE: dict[UsageKind, str] = {
    "port": "“{}” não é uma porta: use um número de 1 a 65535",
    "first-port": "a primeira porta precisa ser de 1024 a 65535, e não “{}”",
    "ip": "“{}” não é um endereço IP nem o nome de uma máquina: use a forma 192.168.0.10",
    "no-row": "a última tabela de peers não tem a linha {}: veja os números com peers",
    "nome": "“{}” não serve de nome: use letras, até 64 bytes, sem caracteres de controle, “:”, "
    "“*” ou “?”, nem “-” no começo, e que não pareça um IP",
    "rede-tracker": "REDE_TRACKER precisa ser <IP> ou <IP> <PORTA>, e não “{}”",
    "option": "opção desconhecida ou sem valor: “{}” (veja --ajuda)",
    "empacotar": "já existe, com outro conteúdo: {}. Escolha outro nome, ou apague-o antes",
    "too-many": "palavra a mais: “{}” (veja --ajuda)",
    "long": "a linha é longa demais: o limite é de 64 KiB",
    "quotes": "faltou fechar as aspas em: {}",
    "encoding": "há bytes que não são UTF-8, e os nomes da rede são UTF-8: {}",
    "peers": "peers não tem argumentos; use: peers",
    "ls": "use: ls <IP> <PORTA> [PADRÃO] [-l -S -1]   ou   ls <NOME ou linha de peers>   ou   ls",
    "get": "use: get <IP> <NOME>   ou   get <IP> <PORTA> <NOME>   ou   get <PEER> <NOME>   ou   "
    "get <NOME>",
    "como": "--como dá outro nome a um só arquivo; use: get <IP> <NOME> --como <NOME NOVO>",
    "saida": "- manda um só arquivo à saída padrão; não vale em um terminal, com --json ou &; "
    "use: … -q -c 'get <IP> <NOME> -' > <ARQUIVO>",
    "blanks": 'ponha aspas no nome, que tem espaços: "{}"',
    "vague": "há nomes demais parecidos com “{}”: diga de quem, como em get <PEER> <NOME>",
    "buscar": "use: buscar <TEXTO>",
    "torrent": "use: torrent [--v1] <NOME> …   (arquivos ou pastas seus; os nomes estão em meus)",
    "diagnostico": "diagnostico não tem argumentos; use: diagnostico",
    "compartilhar": "use: compartilhar <CAMINHO>   ou   compartilhar <CAMINHO> <NOME>",
    "remover": "use: remover <NOME>   (os nomes estão em meus)",
    "meus": "meus não tem argumentos; use: meus",
    "status": "status não tem argumentos; use: status",
    "placar": "placar não tem argumentos; use: placar",
    "cancelar": "use: cancelar <N>   (o número está em status)",
    "no-download": "não há download com o número “{}”: veja em status",
    "esperar": "esperar não tem argumentos; use: esperar",
    "rate": "“{}” não é uma taxa: use bytes por segundo, como 500K ou 5M (a menor é 16K)",
    "ajuda": "não há ajuda sobre “{}”: digite ajuda",
}
PROTOCOL: dict[ProtocolKind, str] = {
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
LOST: dict[LostReason, str] = {
    "refused": "não há ninguém nessa porta",
    "silent": "não respondeu a tempo",
    "unreachable": "não há caminho de rede até lá",
    "address": "o endereço não serve a partir desta máquina",
    "lost": "a conexão caiu",
    "changed": "o arquivo mudou enquanto era enviado",
    "no-port": "nenhuma das portas oferecidas está livre nesta máquina",
}
MACHINE: dict[MachineReason, str] = {
    "unknown": "não há uma máquina com o nome “{}” nesta rede: confira o nome, ou use o IP dela",
    "silent": "o sistema não disse a tempo o endereço de “{}”: use o IP da máquina",
}
REFUSED = {  # by the code on the wire; a later version may send others
    "full": "está lotado; tente de novo daqui a pouco",
    "version": "fala outra versão do protocolo; atualize os dois programas",
    "no-port": "não tem mais portas para oferecer",
    "join-first": "só para quem entrou na rede: comece com join e ready",
    "too-soon": "acaba de responder a isso; tente de novo daqui a alguns segundos",
    "too-much": "não guarda mais nomes de um mesmo peer: os que passam disso ninguém acha",
    "not-offered": "isso não foi oferecido a você",
    "no-such-file": "não compartilha esse arquivo",
    "not-here": "não tem mais esse conteúdo",
    "bad-range": "esse intervalo não existe no arquivo",
    "unreadable": "não conseguiu ler o arquivo que compartilha",
    "changed": "o arquivo ainda está mudando; tente de novo quando ele parar",
    "unknown-verb": "não entende esse pedido",
}
WEB = {  # the same, to a browser; any other is to a program that is none
    "http-404": "Isso não está aqui, ou não está mais: volte à página da rede e atualize.",
    "http-421": "Use o endereço IP desta máquina, como http://192.168.0.10:9450/, e não um nome.",
    "http-503": "O arquivo está sendo preparado, ou acaba de mudar: tente de novo daqui a pouco.",
}
PORT: dict[PortReason, str] = {
    "taken": "a porta {0.port} já está em uso nesta máquina: escolha outra",
    "tracker": "já há um tracker nesta máquina, na porta {0.port}: use-o, ou feche antes o "
    "programa que o abriu, Servidor.py ou Peers.py",
    "denied": "a porta {0.port} pede privilégios de administrador: use uma acima de 1023",
    "address": "{0.ip} não é um endereço desta máquina",
    "other": "não consegui escutar em {0}",
}
# By UnsafeKind and DiskKind; typed str, because a ListProblem has these kinds among others.
UNSAFE: dict[str, str] = {
    "control": "tem caracteres de controle",
    "long": "tem mais de 255 bytes, ou mais de 64 partes",
    "empty": "está vazio ou tem uma parte vazia",
    "dot": "começa com ponto",
    "separator": "tem “\\”",
    "drive": "começa como o caminho de uma unidade do Windows, “C:”",
    "partial": "termina em .parte, que é de downloads em andamento",
}
_OTHER_NAME = "para gravar com outro: get … --como NOME"
DISK: dict[str, str] = {
    "denied": "sem permissão para gravar ou ler em {}",
    "full": "não há espaço no disco para {}",
    "large": "este disco não aceita um arquivo desse tamanho (na FAT, o limite é 4 GiB): {}",
    "missing": "não existe: {}",
    "not-folder": "há um arquivo onde devia haver uma pasta: {}",
    "name": f"o nome não serve neste disco ({_OTHER_NAME}): {{}}",
    "name-long": f"é comprido demais para este disco ({_OTHER_NAME}, ou --pasta): {{}}",
    "name-character": f"este disco não grava nomes com “{{1}}” ({_OTHER_NAME}): {{0}}",
    "name-ending": f"este disco não grava nomes com ponto ou espaço no fim ({_OTHER_NAME}): {{0}}",
    "name-reserved": f"“{{1}}” é um nome reservado no Windows ({_OTHER_NAME}): {{0}}",
    "link": "há um link no lugar do arquivo parcial, e ele não será seguido: {}",
    "link-folder": "uma pasta desse caminho é um link, e ele não será seguido: {}",
    "busy": "já está sendo baixado, nesta janela ou em outra: {}",
    "replaced": "outro programa mexeu no arquivo parcial enquanto crescia; repita o get: {}",
    "in-use": "outro programa está com o arquivo aberto: feche-o e tente de novo: {}",
    "crowded": "o sistema não deixa abrir mais arquivos de uma vez: {}",
    "not-file": "não é um arquivo comum: {}",
    "not-list": "não parece uma lista (texto UTF-8, um arquivo por linha): {}",
    "changed": "o arquivo mudou enquanto era lido: {}",
    "stopped": "a leitura foi interrompida: {}",
    "other": "o disco recusou ({1}): {0}",
}
SHARE: dict[ShareKind, str] = {
    "in-folder": "{} vem de uma pasta da lista: remova a pasta, ou tire dela o arquivo",
    "no-line": "não cabe em uma linha da lista (quebra de linha, aspas, ou bytes que não são "
    "UTF-8): {}",
    "taken": "o nome {} já é de outro arquivo: use compartilhar <CAMINHO> <NOME>, ou antes remover",
    "unlisted": "“{}” não está na sua lista: {}",
}


def describe_error(error: RedeError) -> str:
    """Return one sentence about an error."""
    return _request(error) or _several(error) or _other_side(error) or _result(error)


def describe_bug(error: BaseException) -> str:
    """Return one sentence about an exception that is none of ours."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "o sistema não dá mais threads a este programa: feche outros programas"
    if isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM:
        return "falta memória nesta máquina: feche outros programas"
    return f"erro interno: {type(error).__name__}: {error}"


def _request(error: RedeError) -> str:
    """Return the sentence where the typed words are wrong or name nothing, else ""."""
    match error:
        case errors.BadUsageError(kind, text):
            return USAGE[kind].format(text)
        case errors.UnknownCommandError(word, suggestion):
            hint = _meant(suggestion) or "digite ajuda"
            shown = word if len(word) <= MAX_ECHO_CHARS else f"{word[:MAX_ECHO_CHARS]}…"
            return f"não conheço o comando “{shown}”: {hint}"
        case errors.UnknownPeerError(name, near):
            hint = _meant(near) or "veja os nomes com peers, ou diga IP e porta"
            return f"nenhum peer se chama “{name}”: {hint}"
        case errors.UnknownMachineError(name, reason):
            return MACHINE[reason].format(name)
        case errors.PeerNotListedError(ip, port):
            where = ip if port is None else errors.Address(ip, port)
            return f"{where} não está na lista do tracker: veja os endereços com peers"
        case errors.NoSuchFileError(name, where, near, or_peer):
            hint = _meant(near) or f"veja os nomes com ls{' e com peers' if or_peer else ''}"
            nor = ", e nenhum peer se chama assim" if or_peer else ""
            return f"ninguém em {where or 'toda a rede'} compartilha {name}{nor}: {hint}"
        case errors.UnsafeNameError(name, kind):
            return f"o nome “{name}” não é seguro e foi recusado: {UNSAFE[kind]}"
    return ""


def _several(error: RedeError) -> str:
    """Return the sentence where several are meant and one is wanted, else ""."""
    match error:
        case errors.AmbiguousNameError(name, choices):
            hint = f"escolha a porta com get <IP> <PORTA> {name}"
            if len(choices) == 1:
                hint = "esse peer mesmo o lista duas vezes"
            return f"há conteúdos diferentes com o nome {name}, em {_places(choices)}: {hint}"
        case errors.AmbiguousPeerError(name, choices):
            shown = [f"{name}:{one.port} em {one.ip}" for one in choices[:MAX_CHOICES]]
            more = f" … e mais {len(choices) - len(shown)}" if len(choices) > len(shown) else ""
            return f"há mais de um peer com o nome {name}: diga {', '.join(shown)}{more}"
        case errors.SeveralTrackersError(choices):
            found = f"há mais de um tracker nesta rede ({_places(choices)}), e não escolho por você"
            return f"{found}: diga qual: {typed('Peers.py')} <IP> <PORTA>"
    return ""


def _places(addresses: Iterable[errors.Address]) -> str:
    return ", ".join(map(str, addresses))


def _other_side(error: RedeError) -> str:
    """Return the sentence where the tracker or another peer failed, else ""."""
    match error:
        case errors.ProtocolError(kind, detail):
            return PROTOCOL[kind].format(detail)
        case errors.ConnectionLostError(reason):
            return LOST[reason]
        case errors.RefusedError(code, message):
            return REFUSED.get(code) or WEB.get(code) or f"recusou: {message or code}"
        case errors.PeerUnreachableError(address, cause):
            refused = isinstance(cause, errors.RefusedError)
            hint = "" if refused else ". Veja quem está na rede com peers"
            return f"{address}: {describe_error(cause)}{hint}"
        case errors.TrackerUnreachableError(address, cause):
            return _no_tracker(address, cause)
        case errors.VerificationError(name, source):
            safe = "nada errado foi guardado; tente de outro peer"
            return f"{source} mandou bytes que não são de {name}: {safe}"
    return ""


def _meant(name: str) -> str:
    return f"você quis dizer {name}?" if name else ""


def _no_tracker(address: errors.Address, cause: RedeError) -> str:
    reason = describe_error(cause)
    match cause:
        case errors.ProtocolError():
            program = f"um programa que não é o tracker da Rede P2P ({reason})"
            return f"em {address} há {program}: confira o IP e a porta"
        case errors.RefusedError("unknown-verb"):
            return f"em {address} há um peer, não o tracker: use a porta do tracker"
        case errors.RefusedError():
            return f"o tracker {address} não aceitou: {reason}"
    line = f"{typed('Peers.py')} {address.ip} {address.port} -c diagnostico"
    hint = f"Confira o IP e a porta, e se o tracker está aberto lá; para saber a causa: {line}"
    return f"não encontrei o tracker em {address}: {reason}. {hint}"


def _result(error: RedeError) -> str:
    """Return the sentence where this machine failed or a command stopped, else ""."""
    match error:
        case errors.PortUnavailableError(address, reason):
            return PORT[reason].format(address)
        case errors.ShareListError(kind, text, near):
            return SHARE[kind].format(text, _meant(near) or "veja os nomes com meus")
        case errors.DiskError(path, kind, detail):
            return DISK[kind].format(short(path), detail)
        case errors.IncompleteError(name, have, size, cause):
            percent = min(100 * have // max(size, 1), 99)  # it has no final name
            why = describe_error(cause) if cause else "ninguém na rede tem agora o que falta"
            kept = "O que chegou está guardado: repita o get para continuar"
            return f"{name} parou em {percent} %: {why}. {kept if have else 'Repita o get depois'}"
        case errors.PartlyFailedError(failed, total, first):
            missing = "não veio" if failed == 1 else "não vieram; o primeiro"
            return f"{failed} de {total} {missing}: {describe_error(first)}"
        case errors.InterruptedByUserError():
            return "interrompido: o que chegou está guardado, repita o get para continuar"
        case errors.StoppedWaitingError():
            return "parei de esperar; os downloads continuam: veja status"
    return ""
