"""Show runs and studies: the page, its charts, and tables. Imports no torch."""
