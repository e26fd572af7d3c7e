"""Networks whose features metrics are computed from."""
