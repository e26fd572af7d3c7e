import torch

from d3gan.evaluation.ranks import SINGLE_PROCESS, Ranks
from d3gan.training import distributed


def test_one_process_and_the_process_group_have_the_same_operations() -> None:
    names = [name for name in vars(Ranks) if not name.startswith("_")]
    assert names
    for name in names:
        assert callable(getattr(SINGLE_PROCESS, name))
        assert callable(getattr(distributed, name))


def test_one_process_is_complete_by_itself() -> None:
    x = torch.arange(6.0).view(3, 2)
    SINGLE_PROCESS.sum_over_ranks(x)
    assert torch.equal(x, torch.arange(6.0).view(3, 2))
    assert SINGLE_PROCESS.gather_rows(x) is x
    assert SINGLE_PROCESS.from_main(lambda: 5) == 5
    assert SINGLE_PROCESS.is_main()
    with SINGLE_PROCESS.raise_together():
        assert (SINGLE_PROCESS.rank(), SINGLE_PROCESS.world_size()) == (0, 1)
