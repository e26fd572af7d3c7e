"""Everything that makes training faster and changes no result beyond rounding."""
