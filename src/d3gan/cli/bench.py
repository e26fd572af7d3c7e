"""d3gan bench."""

from d3gan.cli.bench_data import Data
from d3gan.cli.bench_scaling import Scaling
from d3gan.cli.bench_step import Step
from d3gan.cli.parsing import parse
from d3gan.errors import UserError


def bench(arguments: list[str]) -> int:
    """Time the training."""
    kinds = {"step": Step, "data": Data, "scaling": Scaling}
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: d3gan bench {' | '.join(kinds)}; d3gan bench step --help tells more")
        return 0
    if not arguments or arguments[0] not in kinds:
        raise UserError(f"name what to time: d3gan bench {'|'.join(kinds)}")
    kind, *rest = arguments
    parse(kinds[kind], rest, f"bench {kind}").run()
    return 0
