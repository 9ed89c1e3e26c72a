"""The commands about what this peer shares: ``compartilhar``, ``remover``, ``meus``."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rede_p2p.cli import texts
from rede_p2p.cli.listing import name_key
from rede_p2p.cli.session import Session, expect
from rede_p2p.cli.shell import Command
from rede_p2p.cli.terminal import Tone
from rede_p2p.content.on_windows import short
from rede_p2p.content.safe_names import nearest
from rede_p2p.errors import BadUsageError, DiskError, ShareListError
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.upload import list_editor
from rede_p2p.upload.shared_files import Share


def share(session: Session, command: Command) -> None:
    """Share one more file or folder, under its own name or the one that follows its path."""
    words = command.words
    if not words or not words[0] or command.background:
        raise BadUsageError("compartilhar")
    try:
        path = Path(list_editor.find_path(words[0]))
        expect(command, min(len(words), 2), "compartilhar")
    except (DiskError, BadUsageError):
        with suppress(DiskError):
            list_editor.find_path(" ".join(words))
            raise BadUsageError("blanks", " ".join(words)) from None
        raise
    name = words[1] if len(words) == 2 else path.name
    added = session.shares.add(name, str(path))
    session.terminal.show_events()  # what is wrong with a file of a folder
    files = [one for one in session.shares.shares() if _is_of(name, one)]
    place = short(str(path))
    size, is_folder = sum(one.state.size for one in files), path.is_dir()
    what = f"{texts.count(len(files), 'arquivo', 'arquivos')}, " if is_folder else ""
    done = "compartilhado" if added else "já estava compartilhado"
    session.terminal.data(
        f"{name}: {done}, {what}{texts.size(size)}: {place}",
        {"name": name, "path": place, "files": len(files), "size": size, "added": added},
    )


def _is_of(name: str, share: Share) -> bool:
    """Tell whether a share is the one of that name, or in its folder."""
    return share.name == name or share.name.startswith(f"{name}/")


def remove(session: Session, command: Command) -> None:
    """Share a name no more; the file stays where it is."""
    expect(command, 1, "remover")
    try:
        removed = session.shares.remove(command.words[0])
    except ShareListError as error:
        names = (share.name for share in session.shares.shares())
        raise replace(error, near=nearest(error.text, names)) from None
    for name in removed:
        kept = "não está mais na lista; o que há no disco fica como está"
        session.terminal.data(f"{name}: {kept}", {"name": name, "removed": True})


def mine(session: Session, command: Command) -> None:
    """Show what this peer shares, which of it is ready, and how often it was fetched."""
    expect(command, 0, "meus")
    rows, facts = [], []
    tones: list[Tone] = []
    for one in sorted(session.shares.shares(), key=lambda share: name_key(share.name)):
        entry = session.shares.entry(one)
        sent = session.slots.tally.sent(entry.root)
        rows.append(
            (
                entry.name,
                texts.size(entry.size),
                _state(session, one, entry),
                _sent(sent, entry.size),
            )
        )
        ready = entry.root is not None
        facts.append({"name": entry.name, "size": entry.size, "ready": ready, "sent": sent})
        tones.append("ready" if ready else "hashing")
    for name in sorted(session.shares.gone(), key=name_key):
        rows.append((name, "", "não existe", ""))
        facts.append({"name": name, "size": 0, "ready": False, "sent": 0, "gone": True})
        tones.append("gone")
    if rows:
        session.terminal.table(("Nome", "Tamanho", "Situação", "Enviado"), rows, facts, tones)
    else:
        session.terminal.note("a sua lista está vazia: use compartilhar <CAMINHO>")


def _state(session: Session, share: Share, entry: FileEntry) -> str:
    if entry.root is not None:
        return "pronto"
    done = session.context.hash_cache.progress(share.path)
    return f"calculando {texts.percent(done, entry.size)}" if done else "calculando…"


def _sent(sent: int, size: int) -> str:
    """Return how many times as many bytes were sent as the file has."""
    if not sent:
        return ""
    copies = f"{sent / size:.1f}".replace(".", ",").removesuffix(",0")
    return f"{copies}×" if copies != "0" else "< 0,1×"
