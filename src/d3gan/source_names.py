"""Names of the data sources, which a configuration reads without importing any of them."""

SOURCE_NAMES = frozenset(
    {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "stl10", "stacked-mnist"}
)
"""The keys of `d3gan.data.sources.SOURCES`. A folder of such a name needs a path: ``./mnist``."""
