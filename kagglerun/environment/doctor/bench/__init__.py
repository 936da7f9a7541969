"""`kagglerun doctor --bench`: what this machine reaches, against what its GPUs are published to reach."""
