"""Two processes: long work of the main one, control messages, and an unfinished backward pass."""

from tests.program import group

CODE = """
import time, torch
from torch import nn
from d3gan.errors import UserError
from d3gan.training import distributed
from d3gan.training.distributed import DiscriminatorParallel, collectives

def gradients(network, x):
    network.zero_grad()
    network(x).sum().backward()
    return [p.grad.clone() for p in network.parameters()]

def breaks(*_):
    raise ZeroDivisionError

with distributed.process_group("cpu", 2) as device:
    assert collectives.backend_of("cpu") == "gloo"
    assert distributed.from_main(lambda: time.sleep(4) or "long") == "long"
    def fails():
        time.sleep(3)
        raise UserError("of the main rank")
    try:
        distributed.from_main(fails)
    except UserError as error:
        assert str(error) == "of the main rank"
    else:
        raise AssertionError
    parallel = DiscriminatorParallel(2, 1, 1)
    number = distributed.rank()
    assert parallel.first_reason("") == ""
    assert parallel.first_reason("second" if number else "") == "second"
    assert parallel.from_main(distributed.rank) == 0
    assert distributed.any_rank(3 * number) == 3
    torch.manual_seed(0)
    network = parallel.ensemble(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    x = torch.ones(2, 3) * (1 + number)
    expected = gradients(network, x)
    hook = network.module[0].register_full_backward_pre_hook(breaks)
    try:
        gradients(network, x)
    except ZeroDivisionError:
        hook.remove()
    parallel.forget_unfinished(network)
    for one, other in zip(gradients(network, x), expected):
        assert torch.equal(one, other)
"""


def test_two_processes() -> None:
    """Collectives of this group fail after two seconds."""
    for end in group(CODE):
        assert end.returncode == 0, end.stderr
