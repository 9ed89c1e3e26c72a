"""One libtorrent peer, set up for a LAN: seeds a file, or fetches it, with peers that are told.

    python3 torrent_peer.py FILE TORRENT IP [IP ...]

It prints ``ready``, waits for a line, connects to everyone at the addresses, and prints ``done``
when it has the file, with its bytes on the disk. It ends with its standard input.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import libtorrent as lt

PORT = 6881
LAN = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "unchoke_slots_limit": -1,  # everybody is given something
    "rate_limit_ip_overhead": False,
    "max_out_request_queue": 1500,
    "request_queue_time": 1,
    "send_buffer_watermark": 4 * 2**20,
    "connection_speed": 200,
    "torrent_connect_boost": 100,
    "min_reconnect_time": 1,
    "alert_mask": int(lt.alert.category_t.status_notification),
}


def main() -> None:
    file, torrent, own, *others = sys.argv[1:]
    session = lt.session({**LAN, "listen_interfaces": f"{own}:{PORT}"})
    asked = lt.add_torrent_params()
    asked.ti = lt.torrent_info(torrent)
    asked.save_path = str(Path(file).parent)
    if Path(file).exists():
        asked.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(asked)
    print("ready", flush=True)
    sys.stdin.readline()
    for ip in others:
        handle.connect_peer((ip, PORT))
    while not handle.status().is_seeding:
        session.wait_for_alert(50)
        session.pop_alerts()
    handle.flush_cache()
    with Path(file).open("rb") as written:
        os.fsync(written.fileno())
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
