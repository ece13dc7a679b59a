"""The work of the commands: run loops, compilation, devices, checkpoints."""
