"""The commands: each parses its options, calls a job, and shows what it returns."""
