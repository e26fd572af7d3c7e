"""The mathematics of adversarial training: no device, no process group, no file, no Config."""
