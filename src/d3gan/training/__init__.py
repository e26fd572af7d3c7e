"""Training: the loop, what it saves, and how it runs on many processes."""
