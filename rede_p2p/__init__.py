"""The rules of Rede P2P; the story is told by Servidor.py and Peers.py.

The two things without which nothing runs are looked for here, before any other import, so that
their absence is a sentence and not a traceback. This file must be readable by any Python 3.
"""

import importlib.util
import sys

if sys.version_info < (3, 10):
    sys.exit(
        "A Rede P2P precisa do Python 3.10 ou mais novo; este é o %d.%d." % sys.version_info[:2]
    )
if importlib.util.find_spec("rich") is None:
    sys.exit(
        "Falta a biblioteca rich. Instale com: %s -m pip install -r requirements.txt"
        % sys.executable
    )
