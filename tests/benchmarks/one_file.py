"""One large file: our ``get``, a web server with curl and sync, and the limit of the machine."""

from __future__ import annotations

import bench
from bench import Program, Programs, Ratio, Run

OURS, WEB, LIMIT = "get", "nginx + curl + sync", "sendfile → descarte"


def main() -> None:
    chosen = bench.arguments("get de um arquivo grande", mib=1024)
    with bench.workplace(chosen.pasta) as net:
        measure(net, chosen.mib, chosen.rodadas)


def measure(net: Programs, mib: int, rounds: int) -> None:
    shared = bench.random_file(net.folder / "dado" / "grande.bin", mib * bench.MIB)
    shares = bench.share_list(net.folder / "lista.txt", {shared.name: shared})
    sender = bench.seed(net, shares, 1)

    def ours(number: int) -> Run:
        folder = net.folder / f"nosso{number}"
        run = bench.timed_get(net, sender, shared.name, folder, ended)
        assert (folder / shared.name).stat().st_size == shared.stat().st_size
        return run

    def limit(_number: int) -> Run:
        return bench.timed_discard(shared)

    contenders = {OURS: ours, LIMIT: limit}
    if missing := bench.rivals_missing():
        print(missing)
        runs = bench.rounds(rounds, contenders)
    else:
        with bench.nginx(net.folder / "nginx", shared.parent) as (server, address):

            def web(number: int) -> Run:
                to = net.folder / f"curl{number}" / shared.name
                return bench.timed_curl(server, {f"{address}/{shared.name}": to}, [str(to)])

            runs = bench.rounds(rounds, {**contenders, WEB: web})
    goals = [Ratio(OURS, WEB, 0.80), Ratio(OURS, LIMIT)]
    bench.report(f"um arquivo de {mib} MiB", runs, goals)


def ended(receiver: Program) -> None:
    receiver.prints("baixado e verificado")


if __name__ == "__main__":
    main()
