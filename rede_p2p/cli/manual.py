"""The help of the programs and of the menu, in Brazilian Portuguese."""

from rede_p2p import __version__
from rede_p2p.cli import installation
from rede_p2p.cli.installation import typed
from rede_p2p.protocol.messages import PROTOCOL_VERSION


def version(program: str) -> str:
    """Return the version of the program in the file ``program``."""
    name = typed(program).removeprefix(f"{installation.PYTHON} ")
    return f"{name}, Rede P2P {__version__} (protocolo {PROTOCOL_VERSION})"


_CLICKS = "" if installation.is_in_one_file() else ", ou dois cliques em Rede.bat"
ON_WINDOWS = f"(no Windows, py no lugar de python3{_CLICKS})"
_TRACKER = f" Só o tracker:\n{typed('Servidor.py')}" if installation.is_in_one_file() else ""
_PLACE = "na pasta atual" if installation.is_installed() else "ao lado de Peers.py"

USAGE = {
    "Servidor.py": f"uso: {typed('Servidor.py')} [PORTA] [--ip ENDEREÇO] [--primeira-porta N]",
    "Peers.py": f"uso: {typed('Peers.py')} [IP [PORTA]] [opções]   (veja --ajuda)",
}

HELP = {
    "Servidor.py": f"""{USAGE["Servidor.py"]}

Abre o tracker da rede: ele dá uma porta pública a cada peer e guarda a lista de quem está.

  PORTA                porta TCP do tracker (padrão: 9450)
  --ip ENDEREÇO        escutar só neste endereço (padrão: todos, IPv4 e IPv6)
  --primeira-porta N   primeira porta pública oferecida aos peers (padrão: 5455)
  --empacotar ARQUIVO  gravar o programa todo em um arquivo, que se dá a quem só tem Python, e sair
  --sem-pagina         não responder a navegadores
  --versao             a versão do programa
  -h, --ajuda          esta ajuda

Ctrl-C encerra.

Estado de saída: 1 erro · 2 uso · 9 sem permissão · 130 Ctrl-C · 143 SIGTERM · 129 SIGHUP""",
    "Peers.py": f"""uso: {typed("Peers.py")} [IP [PORTA]] [opções]

Entra na rede cujo tracker está na máquina IP, ou de um nome como prof-pc, e abre o menu. Sem IP,
procura um tracker nesta máquina e na rede e, se não houver, abre um aqui mesmo.{_TRACKER}

  PORTA                porta do tracker (padrão: pergunta à máquina IP; senão, 9450)
  --ip ENDEREÇO        endereço deste peer: procura e sai por ele, e escuta só nele
  --nome NOME          como os outros chamam este peer (padrão: o nome da máquina; "": nenhum)
  --arquivos LISTA     lista do que compartilhar (padrão: meus_arquivos.txt, {_PLACE})
  --pasta PASTA        onde guardar os downloads (padrão: arquivos_baixados, {_PLACE})
  -c 'COMANDO; …'      executar, esperar o que ficou em segundo plano e sair; para no primeiro erro
                       (no Windows, entre aspas duplas)
  --limite TAXA        enviar no máximo tantos bytes por segundo (ex.: 5M)
  --nao-semear         não servir a outros o que for baixado
  --sem-pagina         não responder a navegadores
  --servir             sem menu: só compartilhar, até Ctrl-C ou um sinal
  -q                   só erros na saída de erros; nem avisos, nem a barra
  --json               um objeto JSON por linha, em vez de tabelas
  --versao             a versão do programa
  -h, --ajuda          esta ajuda

Para scripts, REDE_TRACKER="IP [PORTA]" e REDE_NOME=NOME valem onde nada disso é digitado.

Estado de saída: 0 certo · 1 erro · 2 uso · 3 sem tracker · 4 sem o peer · 5 arquivo não existe
6 verificação falhou · 7 incompleto · 9 disco ou permissão · 130 Ctrl-C · 143 SIGTERM · 129 SIGHUP
141 quem lia a saída foi embora (… | head)""",
}

COMMANDS = (
    ("peers", "quem está na rede", "peers"),
    ("ls <IP> <PORTA>", "o que um peer compartilha", "ls 127.0.0.1 5455"),
    ("ls <PEER>", "o mesmo, pelo nome ou linha de peers", "ls ana"),
    ("get <IP> <NOME>", "baixar um arquivo", 'get 127.0.0.1 "minha foto.png"'),
    ("get <IP> <PORTA> <NOME>", "o que esse peer chama assim", "get 127.0.0.1 5456 a.txt"),
    ("get <PEER> <NOME>", "o mesmo, pelo nome do peer", "get ana aula1.pdf"),
    ("get <IP> <NOME> <NOME> …", "vários: nomes, padrões, pastas", "get 127.0.0.1 '*.png' fotos/"),
    ("get <NOME> …", "o mesmo, de quem tiver na rede toda", "get aula.iso turma/"),
    ("get … --como <NOME>", "gravar com outro nome", "get a.txt --como b.txt"),
    ("get <IP> <NOME> -", "mandar à saída padrão", "get 127.0.0.1 a.txt -"),
    ("get … &", "baixar em segundo plano (ou Ctrl-Z)", "get 127.0.0.1 aula.iso &"),
    ("ls", "o que há na rede toda", "ls"),
    ("ls <IP> <PORTA> <PADRÃO>", "só o que combina", "ls 127.0.0.1 5455 '*.pdf'"),
    ("ls … -S -l -1", "-S: maiores antes; -l: exato; -1: só nomes", "ls -1"),
    ("buscar <TEXTO>", "procurar na rede toda", "buscar aula"),
    ("compartilhar <CAMINHO>", "compartilhar um arquivo ou uma pasta", "compartilhar ~/aula.pdf"),
    ("compartilhar … <NOME>", "o mesmo, com outro nome", "compartilhar ~/a1.pdf aula.pdf"),
    ("remover <NOME>", "não compartilhar mais um nome", "remover aula.pdf"),
    ("meus", "o que compartilho, e se está pronto", "meus"),
    ("torrent <NOME> …", "gravar o .torrent do que é meu", "torrent a.txt fotos/"),
    ("torrent --v1 <NOME>", "para clientes que só leem a versão 1", "torrent --v1 a.txt"),
    ("status", "o que está em andamento", "status"),
    ("placar", "o que veio, e o que já enviei", "placar"),
    ("cancelar <N>", "encerrar o download N", "cancelar 1"),
    ("esperar", "esperar os downloads acabarem", "esperar"),
    ("diagnostico", "por que não se chega aos outros", "diagnostico"),
    ("ajuda <COMANDO>", "esta tabela; ou só um comando", "ajuda get"),
    ("quit", "sair da rede", "quit"),
)
