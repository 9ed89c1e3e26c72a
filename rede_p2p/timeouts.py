"""Every deadline and every interval of the two programs, in seconds, in one table.

A ``Timeouts`` is handed down from the programs to whoever waits, so that a test can shorten one
wait without touching a module.
"""

from typing import NamedTuple


class Timeouts(NamedTuple):
    """How long each part of a program waits; the defaults are what docs/PROTOCOLO.md promises."""

    # One connection.
    dial_s: float = 4.0  # for a TCP connection to be made
    reply_s: float = 8.0  # for one whole line of reply
    line_s: float = 10.0  # for a line that has begun to be whole, however long its start may take
    pending_s: float = 600.0  # for "espera" to report progress, in place, bytes or files
    max_pending_s: float = 86_400.0  # for a reply, however much progress is reported: a day
    stall_s: float = 15.0  # for a body or a send to progress
    head_body_wait_s: float = 0.5  # for the body of a reply to arrive with its head
    web_idle_s: float = 15.0  # before a browser's connection that asks nothing is closed
    accept_pause_s: float = 0.1  # before accepting again when no descriptor is left

    # Finding a tracker by UDP, a machine by its name, and what Tab offers.
    name_s: float = 3.0  # for the system to tell the address of a name
    completion_s: float = 0.2  # for what Tab offers; what comes later is there at the next Tab
    completion_cache_s: float = 5.0  # before it is asked anew
    discovery_try_s: float = 0.4  # for one answer from the network
    local_discovery_try_s: float = 0.05  # for one answer from this machine, which takes under 1 ms
    take_over_interval_s: float = 5.0  # between two attempts to answer in place of a tracker gone
    search_s: float = 0.4  # for a tracker anywhere on the network to answer
    search_interval_s: float = 0.1  # between two questions of a search
    search_several_s: float = 0.1  # for the others to answer too, after the first
    max_opening_s: float = 3.0  # for trackers that open at once to agree on one

    # The tracker and its peers.
    peer_turn_s: float = 0.02  # for a thread of a peer that computes, if others wait
    tracker_turn_s: float = 0.1  # for a thread of the tracker that computes, if others wait
    stranger_silence_s: float = 60.0  # before a connection that is not listed is closed
    member_silence_s: float = 12.0  # before a listed one is closed: two heartbeats and some
    heartbeat_s: float = 5.0  # between two pings of a peer with nothing else to say
    roster_s: float = 60.0  # within which, once, a peer asks for the list without being told to
    first_rejoin_pause_s: float = 0.25  # before the first attempt to join again
    max_rejoin_pause_s: float = 8.0  # between two such attempts; the pause doubles up to here
    restart_grace_s: float = 3.0  # before another tracker of the machine is as good
    rejoin_dial_s: float = 2.0  # for the connection of such an attempt; closing waits for it
    joining_s: float = 15.0  # for a tracker to offer a port that this machine can have
    identify_s: float = 1.5  # for a tracker to accept, and then to say which one it is
    leave_s: float = 1.5  # for a tracker to answer ``quit``
    call_back_s: float = 1.5  # for a peer that the tracker calls back to accept, and to answer
    call_back_interval_s: float = 5.0  # between two such calls to one IP address
    announce_interval_s: float = 0.2  # between two announcements, however often files change

    # What a peer serves.
    peer_silence_s: float = 60.0  # before another peer that asks nothing is hung up on
    peer_idle_s: float = 5.0  # the same where it keeps another out: who downloads asks each second
    place_report_s: float = 2.0  # between two reports of a place in the queue
    hash_report_s: float = 1.0  # between two reports of how far a hash is
    quiet_s: float = 2.5  # without a change before a file is hashed and announced
    max_quiet_wait_s: float = 10.0  # for a file that somebody asks for to be so quiet
    offer_wait_s: float = 0.5  # for a piece worth offering to arrive
    description_wait_s: float = 2.0  # for another requester of a bundle to describe it
    again_pause_s: float = 0.1  # before the answer to a complaint of a piece that is right
    list_edit_s: float = 10.0  # for another program to finish rewriting the share list
    list_poll_s: float = 1.0  # between two looks at the share list, where somebody may wait for it
    idle_list_poll_s: float = 3.0  # the same while nobody asks and every file is quiet
    file_scan_s: float = 5.0  # between two looks at every shared file

    # A download.
    layer_hurry_s: float = 1.0  # for an answer, as the piece hashes, from one of several peers
    download_stall_s: float = 15.0  # without one piece before a download gives up
    first_search_pause_s: float = 0.1  # between two questions to the tracker who has the content
    max_search_pause_s: float = 2.0  # the same; the pause doubles up to here
    held_file_s: float = 2.0  # for another program to close a file that is to be renamed (Windows)
    min_endgame_wait_s: float = 0.1  # before a piece is asked of a second source

    # Keeping the machine awake.
    awake_interval_s: float = 5.0  # between two looks at whether anything is sent or received
    awake_idle_s: float = 30.0  # without either before the machine may sleep again
    awake_end_s: float = 2.0  # for the program that holds the sleep off to end

    # What ``diagnostico`` looks at.
    look_s: float = 1.0  # for the disk, or for the system to list its addresses
    probe_s: float = 3.5  # for a tracker to accept: longer than a system looks for a machine
    probe_peer_s: float = 1.5  # for a peer to accept, and for anybody to answer
    rate_s: float = 0.5  # in which a rate is measured
    rates_s: float = 2.0  # in which the rates of all peers are


DEFAULT = Timeouts()
