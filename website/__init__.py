"""What building the documentation site needs; see zensical.toml."""
