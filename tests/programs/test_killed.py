"""Programs killed at random moments: what was verified is never fetched again, the end is exact."""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import Event
from time import monotonic

import pytest
from processes import PATIENCE, beside, network
from sources import Noting, connect, context_of, right_pieces, source

from rede_p2p.content import merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.download import resolve
from rede_p2p.download.download import Download
from rede_p2p.errors import Address, IncompleteError, PeerUnreachableError
from rede_p2p.upload.upload_slots import UploadSlots

pytestmark = pytest.mark.slow

DATA = random.Random(5).randbytes(32 * 2**20 + 77)
ALL = set(range(merkle.piece_count(len(DATA))))
NAME = "grande.bin"
KILLS = 16  # of the receiver, half of them followed by damage
SENDER_KILLS = 6
RATE = 100 * 2**20  # bytes a second
STEP = len(DATA) // 5  # bytes at most between two deaths


def allocated(path):
    """Return how many bytes of a file are on the disk, in whatever order they came."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def until(fact):
    """Wait for a fact that comes within milliseconds."""
    end, never = monotonic() + PATIENCE, Event()
    while not fact():
        assert monotonic() < end
        never.wait(0.001)


def damage(path, chance):
    """Overwrite some bytes of a file here and there."""
    with path.open("rb+") as file:
        for _ in range(chance.randint(1, 4)):
            file.seek(chance.randrange(max(1, path.stat().st_size)))
            file.write(chance.randbytes(chance.choice([1, 100, MIN_PIECE_BYTES])))


class Receiver:
    """A program that downloads one file, dies, and is started again."""

    def __init__(self, net, place, seed):
        self.net = net
        self.place = place
        self.chance = random.Random(place.address.ip)
        self.folder = net.folder / f"baixados {seed}"
        self.part, self.final = self.folder / f"{NAME}.parte", self.folder / NAME
        self.right = set()

    def start(self):
        script = f"get {self.place.address.ip} {NAME}"
        # Not to be a source of the other receiver, which fetches the same content meanwhile.
        words = self.net.words("--nao-semear", "-c", script, downloads=self.folder)
        return self.net.start(*words)

    def is_killed(self):
        """Kill it at a random moment; return whether the download was still on its way."""
        moment = allocated(self.part) + self.chance.randrange(STEP)
        program = self.start()
        until(lambda: allocated(self.part) > moment or program.process.poll() is not None)
        program.kill()
        program.close()
        self.nothing_was_fetched_again()
        self.right = right_pieces(self.part, DATA)
        if self.final.exists():
            assert self.final.read_bytes() == DATA
            self.final.unlink()
            self.part.unlink(missing_ok=True)
            self.right = set()
            return False
        return True

    def nothing_was_fetched_again(self):
        asked = self.place.asked_pieces()
        assert len(asked) == len(set(asked))
        assert not self.right & set(asked)

    def damage(self):
        damage(self.part, self.chance)
        self.right = right_pieces(self.part, DATA)

    def completes(self):
        result = self.start().end()
        assert result.status == 0, result
        assert [path.name for path in self.folder.iterdir()] == [NAME]
        assert self.final.read_bytes() == DATA
        assert set(self.place.asked_pieces()) == ALL - self.right
        kept = sum(min(MIN_PIECE_BYTES, len(DATA) - i * MIN_PIECE_BYTES) for i in self.right)
        said = re.search(r"continuando de (\d+) %", result.err)
        # What has no final name yet is never said to be whole.
        assert (int(said[1]) if said else 0) == min(99, 100 * kept // len(DATA))


def dies_again_and_again(receiver, kills, *, harmed):
    done = 0
    while done < kills:
        done += receiver.is_killed()
        if harmed and receiver.part.exists() and receiver.part.stat().st_size:
            receiver.damage()
    receiver.completes()


def test_a_receiver_killed_at_any_moment_goes_on_though_its_file_was_damaged(tmp_path):
    with network(tmp_path) as net, ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        net.tracker()
        ended = []
        for number, harmed in enumerate([False, True], start=1):
            place = stack.enter_context(
                source(tmp_path / str(number), "", slots=UploadSlots(limit=RATE))
            )
            place.join(net.ip, net.port, beside(net.ip, number))
            place.share({NAME: DATA})
            receiver = Receiver(net, place, number)
            ended.append(pool.submit(dies_again_and_again, receiver, KILLS // 2, harmed=harmed))
        for one in ended:
            one.result()


@pytest.mark.parametrize("harmed", [False, True], ids=["left alone", "damaged"])
def test_a_sender_killed_at_any_moment_is_gone_on_from_when_it_is_back(tmp_path, harmed):
    chance = random.Random(harmed)
    folder = tmp_path / "baixados"
    part, final = folder / f"{NAME}.parte", folder / NAME
    asked, right, kills = Noting(), set(), 0
    with network(tmp_path) as net, closing(HashCache(None)) as hash_cache:
        net.tracker()
        context = context_of(folder, hash_cache, asked.connect)
        environment = net.environment()
        words = net.words("--servir", "--limite", str(RATE), files={NAME: DATA})

        def seed():
            program = net.start(*words, environment=environment)
            port = int(program.says(r"minha porta pública é (\d+)")[1])
            return program, resolve.find(NAME, [Address(net.ip, port)], connect, lambda _: None)

        with ThreadPoolExecutor(1) as pool:
            while kills < SENDER_KILLS // 2:
                program, wanted = seed()
                moment = allocated(part) + chance.randrange(STEP)
                running = pool.submit(Download(wanted, context).run)
                until(
                    lambda running=running, moment=moment: (
                        allocated(part) > moment or running.done()
                    )
                )
                program.kill()
                program.close()
                try:
                    running.result(PATIENCE)
                except (IncompleteError, PeerUnreachableError):
                    kills += 1
                    assert not final.exists()
                else:
                    assert final.read_bytes() == DATA
                    final.unlink()
                assert not right & set(asked.asked_pieces())
                if harmed and part.exists():
                    damage(part, chance)
                right = right_pieces(part, DATA)
            _, wanted = seed()
            assert Download(wanted, context).run().path == str(final)
            assert set(asked.asked_pieces()) == ALL - right
            assert [path.name for path in folder.iterdir()] == [NAME]
            assert final.read_bytes() == DATA
