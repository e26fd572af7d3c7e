"""What people look at, made from run folders. Needs no torch."""
