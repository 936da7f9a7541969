"""The command line: one file a command. Command files import heavy libraries inside the command only."""
