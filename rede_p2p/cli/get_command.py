"""The command ``get``: finds what its words mean, follows the download, shows its result."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rede_p2p import errors
from rede_p2p.cli import options, peer_names, texts, whole_network
from rede_p2p.cli.peer_names import Place
from rede_p2p.cli.session import Session, listed, reporter
from rede_p2p.cli.shell import Command
from rede_p2p.cli.terminal import failure
from rede_p2p.content import safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.content.on_windows import short
from rede_p2p.download import folders, resolve
from rede_p2p.download.request import Outcome
from rede_p2p.download.transfer import Transfer
from rede_p2p.errors import BadUsageError, RedeError

MAX_LOST_SHOWN = 5  # peers that did not answer, one by one; the others are only counted

Failures = list[tuple[str, RedeError]]
Show = Callable[[Session, Transfer, Failures], None]
Choice = tuple[resolve.Selection, bool]  # and whether the person named whose files they are

MAX_RESULT_ROWS = 50  # of more results, the table has only the failures


def get(session: Session, command: Command, show: Show | None = None) -> None:
    """Download files; raise the error of the file, or PartlyFailedError where there are several.

    ``show``, if given, has the result of a download that must be of one file.
    """
    words, new_name = _take_new_name(command.words)
    address, names = _read(session, words)
    try:
        found, named = _choose(session, address, names)
    except RedeError as none:
        _tell_of_each(session, none, names)
        raise
    requests, failed = found.requests, found.failed
    if (show or new_name) and len(requests) + len(failed) != 1:
        raise BadUsageError("saida" if show else "como")
    _note_what_is_left_out(session, found)
    failed += _make_folders(session, found.folders)
    if not requests and not failed:
        return
    if new_name is not None and requests:
        shared_as = requests[0].name
        requests = [requests[0]._replace(name=safe_names.check(new_name), shared_as=shared_as)]
    transfer = session.transfers.start(
        requests, failed, followed=not command.background, named=named
    )
    if not command.background and _follow(session, transfer):
        (show or _show)(session, transfer, failed)
        return
    for _, error in failed:
        session.terminal.complain(error)
    number, title = transfer.number, texts.title(transfer.names)
    session.terminal.note(
        f"[{number}] {title} em segundo plano: status, esperar, cancelar {number}"
    )


def _note_what_is_left_out(session: Session, found: resolve.Selection) -> None:
    """Say who did not answer beside those that did, and how many files are in no list."""
    lost = found.unreachable
    for one in lost[:MAX_LOST_SHOWN]:
        session.terminal.note(texts.describe(one))
    if len(lost) > MAX_LOST_SHOWN:
        session.terminal.note(f"… e mais {len(lost) - MAX_LOST_SHOWN} que não responderam")
    if lost:
        session.terminal.note("o get segue com os outros; o que só esses têm fica de fora")
    if found.unlisted:
        session.terminal.note(texts.unlisted(found.unlisted))


def _make_folders(session: Session, names: Sequence[str]) -> Failures:
    """Make the empty folders of a download; return those that could not be made, and why."""
    failed: Failures = []
    for name in names:
        try:
            folders.make(session.context.folder, name)
        except RedeError as error:
            failed.append((name, error))
    if names:
        session.terminal.note(texts.empty_folders(len(names) - len(failed)))
    return failed


def _take_new_name(words: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Split the words of a ``get`` from the name that ``--como`` gives, None where it is not."""
    rest, new_name, given = [], None, iter(words)
    for word in given:
        if word == "--como" or word.startswith("--como="):
            new_name = word[7:] if "=" in word else next(given, None)
            if not new_name:
                raise BadUsageError("como")
        else:
            rest.append(word)
    if not rest:
        raise BadUsageError("get")
    return tuple(rest), new_name


def _follow(session: Session, transfer: Transfer) -> bool:
    """Show a download until it ends, or until Ctrl-C cancels it; return False after Ctrl-Z."""
    try:
        if session.terminal.watch(transfer):
            return True
    except KeyboardInterrupt:
        transfer.cancel()
        return True
    transfer.followed.clear()
    return transfer.results.done()  # one that ended before that line posted no event


def _read(session: Session, words: tuple[str, ...]) -> tuple[Place | None, list[str]]:
    """Return the place that an address or a row begins the words with, if one does, and the names.

    Raises BadUsageError where no name follows, or the address is a mistyped one.
    """
    word, *names = words
    head = options.split_address(word)[0]
    if not names and options.is_ip(head):
        raise BadUsageError("get")
    # What is made of the signs of an address alone is a mistyped one, and no name.
    signs = "0123456789abcdefABCDEF:.[]" if ":" in word else "0123456789."
    if not names or not (options.is_ip(head) or not word.strip(signs)):
        return None, list(dict.fromkeys(words))
    return _place(session, words)


def _place(session: Session, words: Sequence[str]) -> tuple[Place, list[str]]:
    """Read the words that begin with a machine or a peer; raise as ``peer_names.place``."""
    word, *names = words
    head, *rest = options.split_address(word)
    if not rest and len(names) > 1 and names[0].isdigit():
        rest = [names.pop(0)]
    port = options.parse_port(rest[0]) if rest else None
    return peer_names.place(session, head, port), names


def _choose(session: Session, address: Place | None, names: list[str]) -> Choice:
    """Find the files that the names of a ``get`` mean; raise RedeError where there are none."""
    if address is None:
        return _find_beside(session, names)
    report = reporter(session)
    while True:
        # Own files come last: a typed address means a file of another peer.
        groups = listed(session, *address)
        try:
            context = session.context
            return resolve.select(names, groups, context.connect, report, context.timeouts), True
        except errors.NoSuchFileError:
            if len(names) == 1 and names[0] in {str(one.port) for group in groups for one in group}:
                raise BadUsageError("get") from None  # a port, and no name after it
            raise
        except errors.PeerUnreachableError as error:
            if any(error.address == (m.ip, m.port) for m in session.client.roster().members):
                raise
            # It left after it was listed: the peers that are still there may have the file.


def _find_beside(session: Session, names: list[str]) -> Choice:
    """Find names in the whole network; where the first is no file, it may be a peer or a machine.

    So that no file is hidden by one of its name, and no name is asked of the system in vain. What
    is neither may be a folder or a pattern. Raises BadUsageError for a peer's name alone.
    """
    found = whole_network.find_names(session, names)
    unknown = [name for name, e in found.failed if isinstance(e, errors.NoSuchFileError)]
    near = ""
    if len(names) > 1 and names[0] in unknown:
        meant = _find_at_first(session, names)
        if not isinstance(meant, str):
            return meant
        near = meant
    found = found._replace(failed=[(n, e) for n, e in found.failed if n not in unknown])
    for name in unknown:
        try:
            found = found.joined(whole_network.find_pattern(session, name))
        except errors.NoSuchFileError as error:
            if len(names) == 1 and peer_names.called(session, options.split_address(name)[0]):
                raise BadUsageError("get") from None
            hint = (name == names[0] and near) or whole_network.nearest(session, name)
            or_peer = name == names[0] and len(names) > 1 and bool(safe_names.peer_name(name))
            found.failed.append((name, replace(error, near=hint, or_peer=or_peer)))
        except RedeError as error:  # the others can be had
            found.failed.append((name, error))
    if not found.requests and not found.folders:
        raise found.failed[0][1]
    return found, False


def _find_at_first(session: Session, names: list[str]) -> Choice | str:
    """Find what follows the first word at whom that means; of nobody, return the nearest name."""
    try:
        address, rest = _place(session, names)
        listed(session, *address)
    except errors.UnknownPeerError as error:
        return error.suggestion
    except (BadUsageError, errors.UnknownMachineError, errors.PeerNotListedError):
        return ""
    try:
        return _choose(session, address, rest)
    except errors.NoSuchFileError as none:
        _tell_of_each(session, none, rest)  # the first word is no file
        raise


def _tell_of_each(session: Session, error: RedeError, names: list[str]) -> None:
    session.terminal.tell(error, [fact_of(name, None, error) for name in names])


def _show(session: Session, transfer: Transfer, failed: Failures) -> None:
    """Show the results of a download; raise its error, or PartlyFailedError."""
    results, brought = transfer.results.result(), texts.summary(transfer.summary())
    ended: list[tuple[str, Content | None, Outcome | RedeError]]
    ended = [(request.name, request.content, outcome) for request, outcome in results]
    ended += [(name, None, error) for name, error in failed]
    failures = [outcome for _, _, outcome in ended if isinstance(outcome, RedeError)]
    few = len(results) <= MAX_RESULT_ROWS
    every = session.terminal.as_json or few
    shown = [one for one in ended if every or isinstance(one[2], RedeError)]
    facts = [fact_of(*one) for one in shown]
    if len(ended) == 1:
        if failures:
            session.terminal.tell(failures[0], facts)
            raise failures[0]
        session.terminal.data(f"{facts[0]['name']}: {_sentence(facts[0])}", facts[0])
        if brought:
            session.terminal.note(brought)
        return
    rows = [
        (fact["name"], _sentence(fact))
        for (_, _, outcome), fact in zip(shown, facts, strict=True)
        if few or ("error" in fact and not isinstance(outcome, errors.InterruptedByUserError))
    ]
    if rows or session.terminal.as_json or not session.terminal.draws:
        session.terminal.table(("Arquivo", "Resultado"), rows, facts)
    already = sum(isinstance(one, Outcome) and one.already for _, one in results)
    told = [texts.fetched(len(ended) - already - len(failures), already), brought]
    session.terminal.note("; ".join(filter(None, told)))
    if failures:
        error: RedeError = errors.PartlyFailedError(len(failures), len(ended), failures[0])
        if transfer.cancelled:
            error = errors.InterruptedByUserError()
        session.terminal.tell(error, [])  # the table has told it
        raise error


def fact_of(name: str, content: Content | None, outcome: Outcome | RedeError) -> dict[str, Any]:
    """Return the JSON object of one file; ``content`` is None where it is not known."""
    fact: dict[str, Any] = {"name": name}
    if content is not None:
        fact |= {"size": content.size, "root": content.root.hex()}
    if isinstance(outcome, RedeError):
        return fact | failure(outcome) | {"name": name}
    return fact | {"path": short(outcome.path), "already": outcome.already}


def _sentence(fact: dict[str, Any]) -> str:
    if "error" in fact:
        return str(fact["error"])
    if fact["already"]:
        return f"já estava em {fact['path']}"
    return f"baixado e verificado, {texts.size(fact['size'])}: {fact['path']}"
