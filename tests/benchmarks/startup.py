"""From starting ``Peers.py`` in a terminal to a prompt that answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from time import perf_counter

import bench
import pexpect
from bench import ROOT, Programs, Ratio, Run

from rede_p2p.cli.installation import ZIPAPP

ANSWER = ": peers respondido"
INTERPRETER = "python3 e rich, sem mais"


def main() -> None:
    chosen = bench.arguments("do início de Peers.py ao prompt", arquivos=10000)
    with bench.workplace(chosen.pasta) as net:
        measure(net, chosen.arquivos, chosen.rodadas)


def measure(net: Programs, count: int, rounds: int) -> None:
    folder = net.folder / "dado"
    files = [bench.random_file(folder / f"{number:05}.bin", 4096) for number in range(count)]
    empty = bench.share_list(net.folder / "vazia.txt", {})
    full = bench.share_list(net.folder / "cheia.txt", {file.name: file for file in files})
    known = net.environment()
    bench.seed(net, full, count, known)[0].close()
    packed, compiled = net.folder / ZIPAPP, net.environment()
    net.start("Servidor.py", "--empacotar", str(packed)).end()
    answers: dict[str, list[Run]] = {}

    def start(
        name: str,
        shares: Path,
        environment: Mapping[str, str] | None,
        _round: int,
        program: str = "Peers.py",
    ) -> Run:
        prompt, answer = opened(net, program, shares, environment or net.environment())
        answers.setdefault(name + ANSWER, []).append(answer)
        return prompt

    bare, first, again = "sem arquivos", f"{count}, na primeira vez", f"{count}, já conhecidos"
    fresh, kept = f"{ZIPAPP}, na primeira vez", f"{ZIPAPP}, depois"
    from_file = partial(start, program=str(packed))
    from_file(kept, empty, compiled, 0)
    runs = bench.rounds(
        rounds,
        {
            INTERPRETER: lambda _: interpreter(net),
            bare: partial(start, bare, empty, None),
            first: partial(start, first, full, None),
            again: partial(start, again, full, known),
            fresh: partial(from_file, fresh, empty, None),
            kept: partial(from_file, kept, empty, compiled),
        },
    )
    ratios = [Ratio(bare, INTERPRETER), Ratio(first, bare), Ratio(again, bare), Ratio(kept, bare)]
    goals = {bare: 0.35, first: 0.60, again: 0.60, kept: 0.50}
    bench.report("de Peers.py ao prompt", {**runs, **answers}, ratios, goals)


def opened(
    net: Programs, program: str, shares: Path, environment: Mapping[str, str]
) -> tuple[Run, Run]:
    """Open the menu in a terminal; return when the prompt came, and when it answered ``peers``."""
    words = [program, *net.words(ip=None, files=shares)[1:]]
    bench.sync()
    began = perf_counter()
    child = pexpect.spawn(sys.executable, words, env=environment, cwd=ROOT, timeout=None)
    child.delaybeforesend = None
    with closing(child):
        child.expect_exact("rede> ")
        prompt = perf_counter() - began
        cpu = bench.cpu_of(child.pid)
        child.sendline("peers")
        child.expect_exact("este peer")
        answer = perf_counter() - began
        child.expect_exact("rede> ")
        child.sendline("quit")
        child.expect(pexpect.EOF)
    return Run(prompt, receiver_cpu=cpu), Run(answer)


def interpreter(net: Programs) -> Run:
    """Start Python, import what a table needs, and end."""
    began = perf_counter()
    net.start("-c", "import rich.console, rich.table, rich.progress").end()
    return Run(perf_counter() - began)


if __name__ == "__main__":
    main()
