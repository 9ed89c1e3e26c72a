"""The rules of Rede P2P; the story is told by Servidor.py and Peers.py.

The two things without which nothing runs are looked for here, before any other import, so that
their absence is a sentence and not a traceback. This file must be readable by any Python 3.
"""

import gc
import importlib.util
import os
import sys

__version__ = "2.0.0"

if sys.version_info < (3, 10):
    sys.exit(
        "A Rede P2P precisa do Python 3.10 ou mais novo; este é o %d.%d." % sys.version_info[:2]
    )
if importlib.util.find_spec("rich") is None:
    _project = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    _python = os.path.join(
        ".venv", *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"])
    )
    _program = os.path.basename(sys.argv[0])
    if sys.prefix != sys.base_prefix:  # in an environment pip may write
        sys.exit(
            "Falta a biblioteca rich. Instale com: %s -m pip install -r requirements.txt"
            % sys.executable
        )
    if os.path.exists(os.path.join(_project, _python)):
        sys.exit(
            "Falta a biblioteca rich neste Python; ela está no ambiente do projeto. "
            "Na pasta do projeto, digite: %s %s" % (_python, _program)
        )
    if os.name == "nt":  # whose shells do not agree on how to join commands
        sys.exit("Falta a biblioteca rich. Dois cliques em Rede.bat preparam tudo e abrem o menu.")
    sys.exit(
        "Falta a biblioteca rich. Na pasta do projeto, digite: %s -m venv .venv && "
        "%s -m pip install -q -r requirements.txt && %s %s"
        % (sys.executable, _python, _python, _program)
    )

gc.disable()  # while modules are imported, which make no garbage; ``run_program`` enables it
