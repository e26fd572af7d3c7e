"""d3gan completion: scripts with which a shell completes commands, flags and their values.

The scripts hold all words, so that a shell does not start Python at every press of the key.
"""

import dataclasses
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import tyro

from d3gan.cli.main import COMMANDS
from d3gan.cli.parsing import Subcommands, described, parse
from d3gan.config import Config
from d3gan.config_files import presets

TAKE_ALL_KEYS = ("compare", "tune")
"""Commands of which every key of the configuration is a flag that tyro does not parse."""
OF_EVERY_COMMAND = ("--help", "--quiet", "--verbose")


_Renaming: type[Any] = type(tyro.conf.arg())


class Flag(NamedTuple):
    """A flag and the values that it may have; none if they are not listed."""

    name: str
    values: tuple[str, ...] = ()
    is_switch: bool = False
    """Whether no value follows."""


def completion(arguments: list[str]) -> int:
    """Print the script of a shell."""
    parse(_completion, arguments, "completion")
    return 0


def _completion(shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]) -> None:
    """Print a script that completes commands, flags and their values.

    Args:
        shell: bash, zsh or fish. The documentation says where to put the script.
    """
    print({"bash": bash_script, "zsh": zsh_script, "fish": fish_script}[shell]())


def words_of_commands() -> dict[str, tuple[str, ...]]:
    """Return the words that may follow each command, apart from flags and files."""
    words = {name: tuple(filter(None, targets_of(name))) for name in COMMANDS}
    words["train"] = tuple(presets())
    words["completion"] = ("bash", "zsh", "fish")
    return words


def flags_of_commands() -> dict[str, list[Flag]]:
    """Return the flags of every command; a command with sub-commands has those of all of them."""
    found: dict[str, list[Flag]] = {}
    for name in COMMANDS:
        targets = filter(None, targets_of(name).values())
        flags = {flag.name: flag for target in targets for flag in flags_of(target)}
        if name in TAKE_ALL_KEYS:
            flags |= {flag.name: flag for flag in flags_of(Config) if "." in flag.name}
        flags |= {name: Flag(name, is_switch=True) for name in OF_EVERY_COMMAND}
        found[name] = sorted(flags.values())
    return found


def targets_of(name: str) -> dict[str, Any]:
    """Return the function or dataclass into which each sub-command of a command parses its
    arguments, by name; that of a command without sub-commands has the name ""."""
    module, _ = COMMANDS[name]
    command = getattr(import_module(f"d3gan.cli.{module}"), name)
    target = described(command, ["--help"])
    if not isinstance(target, Subcommands):
        return {"": target}
    return {kind: described(command, [kind]) for kind in target.names}


def flags_of(target: Any, prefix: str = "") -> Iterator[Flag]:
    """Yield the flags of a function or dataclass, as tyro names them."""
    fields = dataclasses.fields(target) if dataclasses.is_dataclass(target) else ()
    settable = {field.name for field in fields if field.init}
    for name, hint in typing.get_type_hints(target, include_extras=True).items():
        if name == "return" or (fields and name not in settable):
            continue
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if tyro.conf.Positional in notes:
            continue
        names = [note.name for note in notes if isinstance(note, _Renaming)]
        flag = prefix + next((other for other in names if other is not None), name)
        if dataclasses.is_dataclass(kind):
            yield from flags_of(kind, f"{flag}." if flag else prefix)
            continue
        flag = flag.replace("_", "-")
        if kind is bool:
            section, dot, last = flag.rpartition(".")
            yield Flag(f"--{flag}", is_switch=True)
            if tyro.conf.FlagCreatePairsOff not in notes:
                yield Flag(f"--{section}{dot}no-{last}", is_switch=True)
        else:
            values = get_args(kind) if get_origin(kind) is Literal else ()
            yield Flag(f"--{flag}", tuple(str(value) for value in values))


def bash_script() -> str:
    """Return the script for bash."""
    values, flags = [], []
    for name, of_command in flags_of_commands().items():
        flags.append(f'        {name}) flags="{" ".join(flag.name for flag in of_command)}" ;;')
        values += [
            f'        {name}:{flag.name}) values="{" ".join(flag.values)}" ;;'
            for flag in of_command
            if flag.values
        ]
    words = [
        f'        {name}) words="{" ".join(found)}" ;;'
        for name, found in words_of_commands().items()
        if found
    ]
    table = "\n".join
    return f"""\
# bash completion for d3gan; written by `d3gan completion bash`
_d3gan() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}}
    local before=${{COMP_WORDS[COMP_CWORD-1]}} flags="" words="" values=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(COMMANDS)} --help --version" -- "$current"))
        return
    fi
    case "$command:$before" in
{table(values)}
    esac
    case "$command" in
{table(flags)}
    esac
    if [ "$COMP_CWORD" -eq 2 ]; then
        case "$command" in
{table(words)}
        esac
    fi
    if [ -n "$values" ]; then
        COMPREPLY=($(compgen -W "$values" -- "$current"))
    elif [ "${{current:0:1}}" = "-" ]; then
        COMPREPLY=($(compgen -W "$flags" -- "$current"))
    else  # without a match, bash completes names of files
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}}
complete -o default -F _d3gan d3gan"""


def zsh_script() -> str:
    """Return the script for zsh, which runs that for bash."""
    return f"autoload -Uz compinit bashcompinit && compinit && bashcompinit\n{bash_script()}"


def fish_script() -> str:
    """Return the script for fish."""
    lines = ["# fish completion for d3gan; written by `d3gan completion fish`"]
    for name, (_, text) in COMMANDS.items():
        lines.append(f'complete -c d3gan -f -n __fish_use_subcommand -a {name} -d "{text}"')
    for name, found in words_of_commands().items():
        if found:
            first = f"'__fish_seen_subcommand_from {name}; and __fish_is_nth_token 2'"
            lines.append(f"complete -c d3gan -n {first} -a '{' '.join(found)}'")
    for name, of_command in flags_of_commands().items():
        for flag in of_command:
            line = f"complete -c d3gan -n '__fish_seen_subcommand_from {name}'"
            line += f" -l {flag.name.removeprefix('--')}"
            if flag.values:
                line += f" -x -a '{' '.join(flag.values)}'"
            elif not flag.is_switch:
                line += " -r"
            lines.append(line)
    return "\n".join(lines)
