"""Thousands of small files: our ``get`` of a folder, a web server with one curl, and growth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import bench
from bench import Program, Programs, Ratio, Run

SIZE = 4096  # bytes a file


def main() -> None:
    chosen = bench.arguments("get de milhares de arquivos pequenos", poucos=2000, muitos=20000)
    with bench.workplace(chosen.pasta) as net, ExitStack() as stack:
        missing = bench.rivals_missing()
        if missing:
            print(missing)
        contenders: dict[str, Callable[[int], Run]] = {}
        for count in (chosen.poucos, chosen.muitos):
            contenders |= prepare(net, stack, count, alone=bool(missing))
        few, many = (ours_of(count) for count in (chosen.poucos, chosen.muitos))
        growth = 1.1 * chosen.muitos / chosen.poucos
        goals = [
            Ratio(few, web_of(chosen.poucos), 1.0),
            Ratio(many, web_of(chosen.muitos), 1.0),
            Ratio(many, few, growth),
        ]
        bench.report(f"arquivos de {SIZE} B", bench.rounds(chosen.rodadas, contenders), goals)


def ours_of(count: int) -> str:
    return f"get de {count}"


def web_of(count: int) -> str:
    return f"nginx + curl + sync de {count}"


def prepare(
    net: Programs, stack: ExitStack, count: int, *, alone: bool
) -> dict[str, Callable[[int], Run]]:
    """Write and share so many files; return who fetches them, by name."""
    shared = net.folder / f"pasta{count}"
    names = [f"{number:05}.bin" for number in range(count)]
    for name in names:
        bench.random_file(shared / name, SIZE)
    shares = bench.share_list(net.folder / f"lista{count}.txt", {shared.name: shared})
    sender = bench.seed(net, shares, count)

    def ours(number: int) -> Run:
        folder = net.folder / f"nosso{count}-{number}"
        run = bench.timed_get(net, sender, f"{shared.name}/", folder, ended)
        assert sum(1 for _ in (folder / shared.name).iterdir()) == count
        return run

    def ended(receiver: Program) -> None:
        receiver.says(f"{count} baixados e verificados")

    if alone:
        return {ours_of(count): ours}
    server, address = stack.enter_context(bench.nginx(net.folder / f"nginx{count}", shared))

    def web(number: int) -> Run:
        folder = net.folder / f"curl{count}-{number}"
        return bench.timed_curl(server, {f"{address}/{n}": folder / n for n in names}, [])

    return {ours_of(count): ours, web_of(count): web}


if __name__ == "__main__":
    main()
