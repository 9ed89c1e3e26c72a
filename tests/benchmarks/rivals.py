"""What both kinds of bench need: nginx as a rival, and what a process has used."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen {ip}:{port}; root {root}; }}
}}
"""


def nginx_words(folder: Path, root: Path, ip: str, port: int) -> list[str]:
    """Write in ``folder`` what nginx needs to serve ``root``; return the words after its name."""
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder=folder, root=root, ip=ip, port=port))
    return ["-p", str(folder), "-c", str(conf), "-e", str(folder / "errors")]


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process and its threads used, before it is waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
