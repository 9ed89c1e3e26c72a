"""Finding the tracker of the network, or opening one: what a peer does that was told no address.

The tracker of this machine comes first. Where there is none, one is opened here that may yet give
way (``election``), and meanwhile the network is searched: so of those who begin at the same moment
each hears of the others, and all come to one tracker. What a search finds is a hint: nobody may be
there.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from threading import Event
from time import monotonic
from typing import NamedTuple

from rede_p2p.errors import Address, PortUnavailableError
from rede_p2p.net import discovery
from rede_p2p.net.address import is_loopback
from rede_p2p.net.discovery import LOCAL
from rede_p2p.net.search import Found, search
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.election import Election
from rede_p2p.tracker.service import Tracker

TAKEN_TRIES = 4  # looks for the tracker that has the well-known ports and does not answer yet


class Finder(NamedTuple):
    """How to find trackers. ``open_tracker`` opens one on a TCP port, 0 for any, to be entered."""

    open_tracker: Callable[[int], Tracker]
    source: str | None = None  # the one address of this machine to search from
    timeouts: Timeouts = DEFAULT

    def run(self, stack: ExitStack, avoid: Collection[Address] = ()) -> Tracker | list[Found]:
        """Return the trackers of the network, or the one opened here.

        ``stack`` ends it. Where a tracker answered and could not be joined is to ``avoid``. Takes
        ``max_opening_s`` or a little more; raises PortUnavailableError.
        """
        end, taken = monotonic() + self.timeouts.max_opening_s, 0
        well_known = Address(LOCAL, discovery.WELL_KNOWN_PORT)
        port = 0 if well_known in avoid else well_known.port
        while taken <= TAKEN_TRIES:
            here = discovery.locate(LOCAL, timeouts=self.timeouts, search=True)
            is_opening = here is not None and here.opening
            if here is not None and not is_opening and Address(LOCAL, here.port) not in avoid:
                return [Found(Address(LOCAL, here.port), here.id, opening=False)]
            if not is_opening or monotonic() > end:
                sure = taken == TAKEN_TRIES
                found = self._contend(port, stack, avoid, end, sure=sure)
                if found:
                    return found
                taken += found is None
            Event().wait(self.timeouts.search_interval_s)
        return [Found(well_known, "", opening=False)]

    def _contend(
        self, port: int, stack: ExitStack, avoid: Collection[Address], end: float, *, sure: bool
    ) -> Tracker | list[Found] | None:
        """Open a tracker, which ``stack`` ends if it stays; else return the others, if any are.

        Returns None where the port is taken; so is the UDP port, unless ``sure`` of that.
        """
        with ExitStack() as opened:
            try:
                tracker = opened.enter_context(self.open_tracker(port))
            except PortUnavailableError as error:
                if error.reason == "taken":
                    return None
                raise
            if not (sure or tracker.answers):
                return None
            others = self._contest(tracker.election, avoid, end)
            stays = tracker.election.decide(another=bool(others))
            if stays or (not others and monotonic() > end):
                tracker.election.open()
                stack.push(opened.pop_all())
                return tracker
        return others or self._follow(avoid, end)

    def _follow(self, avoid: Collection[Address], end: float) -> list[Found]:
        """Wait for the tracker that this one gave way to; return nothing where it is gone."""
        while (found := self._search("", avoid)) and monotonic() < end:
            if others := [one for one in found if not one.opening]:
                return others
        return []

    def _contest(self, election: Election, avoid: Collection[Address], end: float) -> list[Found]:
        """Search while rivals are heard of; return the trackers that are open already."""
        if self.source is not None and is_loopback(self.source):
            election.open()
            return []
        while True:
            found = self._search(election.id, avoid)
            for one in found:
                if one.opening:
                    election.hear(one.id)
            others = [one for one in found if not one.opening]
            if others or election.is_clear(self.timeouts.search_s) or monotonic() > end:
                return others

    def _search(self, own_id: str, avoid: Collection[Address]) -> list[Found]:
        found = search(self.source, own_id, self.timeouts)
        return [one for one in found if one.address not in avoid]
