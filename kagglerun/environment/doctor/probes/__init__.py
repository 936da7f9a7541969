"""Looking at a machine: each module gives one part of a `Probe`, and changes nothing."""
