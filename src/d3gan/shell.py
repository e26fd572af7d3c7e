"""Commands to show to the user, quoted as the platform's shell reads them."""

import shlex
import subprocess
import sys


def command_line(*words: object) -> str:
    """Return `d3gan words...` as one line that a shell splits into these words again."""
    texts = ["d3gan", *map(str, words)]
    return subprocess.list2cmdline(texts) if sys.platform == "win32" else shlex.join(texts)
