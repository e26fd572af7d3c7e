"""The program's entry: which command, and how it ends."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from d3gan.errors import Interrupted, ProcessesLost, UserError

COMMANDS = {
    "demo": ("demo", "train DCGAN and D3GAN on 5,000 digits, show and compare them"),
    "presets": ("train", "list the ready-made configurations"),
    "train": ("train", "train PRESET, FILE.toml, or go on with RUN"),
    "evaluate": ("evaluate", "measure a RUN's generator, or any images: FID, KID and more"),
    "compare": ("compare", "train methods with several seeds and tell which pays off"),
    "report": ("report", "one page about RUNs: verdict, tables, curves, samples"),
    "bench": ("bench", "time a step, its data, and scaling over processes"),
    "sample": ("sample", "draw images from a trained RUN"),
    "export": ("sample", "write a RUN's generator as safetensors or ONNX"),
    "data": ("data", "list, prepare or show the real images"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status (0, 1, 2, 130, 143)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        _say(f"d3gan: error: {error}")
        return 2
    except Interrupted as stop:
        _say(f"d3gan: {stop}")
        return 128 + stop.signal_number
    except ProcessesLost as error:
        print(f"d3gan: error: {error}", file=sys.stderr, flush=True)  # the main one may be lost
        return 1
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
            reason = text.splitlines()[0] if text else "no details"
            _say(f"d3gan: error: not enough memory ({reason}); choose smaller sizes")
            return 2
        raise
    except KeyboardInterrupt:
        _say("d3gan: interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output went away (`d3gan presets | head`): nobody's fault. What is
        # still buffered must go somewhere when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _say(f"d3gan: error: cannot write the output: {error.strerror}")
        return 2


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"d3gan {version('d3gan')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        from d3gan.registry import nearest

        raise UserError(
            f"there is no command '{name}'{nearest(name, list(COMMANDS))}; "
            f"commands: {', '.join(COMMANDS)}"
        )
    module, _ = COMMANDS[name]
    # Imported when asked for: torch takes seconds, and the list of commands should not.
    command: Callable[[list[str]], int] = getattr(import_module(f"d3gan.cli.{module}"), name)
    return command(rest)


def _usage() -> str:
    lines = [f"  {name:<9} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: d3gan COMMAND ...",
            "",
            "Train GANs whose generator must fool two discriminators (D3GAN), or N.",
            "",
            *lines,
            "",
            "d3gan COMMAND --help tells more.",
        ]
    )


def _say(line: str) -> None:
    """To stderr, from one process of a group alone."""
    distributed = sys.modules.get("d3gan.training.distributed")
    if distributed is None or distributed.is_main():
        print(line, file=sys.stderr, flush=True)
