"""The jobs behind the commands: loops, checkpoints, devices, compilation.  No terminal, no printing."""
