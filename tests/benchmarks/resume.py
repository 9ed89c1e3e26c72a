"""A download that goes on from its half, beside a whole one."""

from __future__ import annotations

import shutil

import bench
from bench import Program, Programs, Ratio, Run

WHOLE, HALF = "get inteiro", "retomado na metade"


def main() -> None:
    chosen = bench.arguments("get retomado na metade", mib=1024)
    with bench.workplace(chosen.pasta) as net:
        measure(net, chosen.mib, chosen.rodadas)


def measure(net: Programs, mib: int, rounds: int) -> None:
    size = mib * bench.MIB
    shared = bench.random_file(net.folder / "dado" / "grande.bin", size)
    shares = bench.share_list(net.folder / "lista.txt", {shared.name: shared})
    sender = bench.seed(net, shares, 1)

    def whole(number: int) -> Run:
        folder = net.folder / f"inteiro{number}"
        return bench.timed_get(net, sender, shared.name, folder, ended)

    def half(number: int) -> Run:
        folder = net.folder / f"metade{number}"
        folder.mkdir()
        with shared.open("rb") as source, (folder / f"{shared.name}.parte").open("wb") as partial:
            shutil.copyfileobj(source, partial, bench.MIB)
            partial.truncate(size // 2)
        return bench.timed_get(net, sender, shared.name, folder, ended)

    runs = bench.rounds(rounds, {WHOLE: whole, HALF: half})
    bench.report(f"retomar {mib} MiB", runs, [Ratio(HALF, WHOLE, 0.65)])


def ended(receiver: Program) -> None:
    receiver.prints("baixado e verificado")


if __name__ == "__main__":
    main()
