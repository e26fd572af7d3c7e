"""Entry point of the program: choose the command, and turn errors into an exit status."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module

from d3gan.cli.terminal import prepare_output
from d3gan.errors import Interrupted, ProcessesLost, UserError
from d3gan.messages import FLAGS_OF_EVERY_COMMAND, with_verbosity

COMMANDS = {
    "demo": ("demo", "train DCGAN and D3GAN on 5,000 digits, and compare them"),
    "presets": ("presets", "list the presets"),
    "train": ("train", "train a PRESET or FILE.toml, or resume a RUN"),
    "evaluate": ("evaluate", "measure a RUN's generator, or any images: FID, KID and more"),
    "compare": ("compare", "train several methods with several seeds, and compare them"),
    "tune": ("tune", "search hyperparameters for the methods of a STUDY.toml"),
    "report": ("report", "write one page about RUNs: verdict, tables, curves, samples"),
    "bench": ("bench", "measure the speed of training on this machine"),
    "sample": ("sample", "draw images from a trained RUN"),
    "export": ("sample", "write a RUN's generator as safetensors or ONNX"),
    "play": ("play", "explore a RUN in a browser: latent directions, seeds, checkpoints"),
    "push": ("push", "publish a RUN's generator on the Hugging Face hub"),
    "data": ("data", "list, prepare or show the real images"),
    "cache": ("cache", "list what is kept for later runs, or delete it"),
    "completion": ("completion", "print a script that completes commands in bash, zsh or fish"),
    "cite": ("cite", "print how to cite d3gan, as BibTeX"),
}
"""Name: (module in this folder, description)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status (0, 1, 2, 130, 143)."""
    if sys.platform == "darwin":
        # Torch computes what MPS lacks on the CPU, with one warning. Read when torch is imported.
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    prepare_output()
    try:
        status = _status(sys.argv[1:] if arguments is None else list(arguments))
    except BaseException:
        if not _group_was_aborted():
            raise
        traceback.print_exc()
        status = 1
    if _group_was_aborted():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _group_was_aborted() -> bool:
    """Return whether the end of the interpreter could wait for CUDA kernels forever."""
    distributed = sys.modules.get("d3gan.training.distributed")
    return distributed is not None and bool(distributed.was_aborted())


def _status(arguments: list[str]) -> int:
    """Run one command, print its error if it ends with one that has a line, return the status."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        _print_error(f"d3gan: error: {error}")
        return 2
    except Interrupted as stop:
        _print_error(f"d3gan: {stop}")
        return 128 + stop.signal_number
    except ProcessesLost as error:
        # From every process: the main one may be among the lost.
        print(f"d3gan: error: {error}", file=sys.stderr, flush=True)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = next(iter(str(error).splitlines()), "no details")
        _print_error(f"d3gan: error: not enough memory ({reason}); choose smaller sizes")
        return 2
    except KeyboardInterrupt:
        _print_error("d3gan: interrupted")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of the output closed it (`d3gan presets | head`), which is not an error.
        # Python flushes what is still buffered at exit, so it needs a place to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _print_error(f"d3gan: error: cannot write the output: {error.strerror}")
        return 2


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"d3gan {version('d3gan')}")
        return 0
    name, *rest = with_verbosity(arguments)
    if name not in COMMANDS:
        from d3gan.registry import nearest

        raise UserError(
            f"there is no command '{name}'{nearest(name, COMMANDS)}; "
            f"commands: {', '.join(COMMANDS)}"
        )
    module, _ = COMMANDS[name]
    # Imported on demand, so that a command without torch starts quickly.
    command: Callable[[list[str]], int] = getattr(import_module(f"d3gan.cli.{module}"), name)
    return command(rest)


def _usage() -> str:
    lines = [f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items()]
    about = "Train GANs with one, two (D3GAN) or N discriminators, and measure them."
    first, last = ["usage: d3gan COMMAND ...", "", about, ""], ["", "See d3gan COMMAND --help."]
    return "\n".join([*first, *lines, "", FLAGS_OF_EVERY_COMMAND, *last])


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out. On the CPU, torch has only a message for it, and no type."""
    torch = sys.modules.get("torch")
    kinds = (MemoryError, torch.OutOfMemoryError) if torch else (MemoryError,)
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


def _print_error(line: str) -> None:
    """Print a line to stderr, from the main process of a group only."""
    distributed = sys.modules.get("d3gan.training.distributed")
    if distributed is None or distributed.is_main():
        print(line, file=sys.stderr, flush=True)
