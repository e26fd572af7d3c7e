"""Real images: where they come from, how they are decoded once, in which order they are seen."""
