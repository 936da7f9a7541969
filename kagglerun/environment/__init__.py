"""The machine: its standard image, what is wrong with it, and what its GPUs do."""
