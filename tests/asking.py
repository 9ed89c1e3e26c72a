"""A prompt beside a thread that never rests, so that every moment of drawing the prompt is long.

``test_in_a_terminal`` runs it in a terminal; each Ctrl-C and each line is answered with its number.
With ``--acordar`` that thread wakes the prompt without pause, as events do now and then.
"""

import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).parent.parent))

from rede_p2p.cli.terminal import Terminal


def busy(ended: Event) -> None:
    wakes = "--acordar" in sys.argv
    while not ended.is_set():
        if wakes:
            os.kill(os.getpid(), signal.SIGUSR1)


def main() -> None:
    ended = Event()
    terminal = Terminal()
    Thread(target=busy, args=(ended,)).start()
    count = 0
    try:
        while count < 1000:
            try:
                line = terminal.ask()
                said = None if line is None else f"linha {line.strip()}"
            except KeyboardInterrupt:
                said = "interrompido"
            if said is None:
                return
            count += 1
            terminal.page(f"{count}: {said}")
    finally:
        ended.set()


if __name__ == "__main__":
    main()
