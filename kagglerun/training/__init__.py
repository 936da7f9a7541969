"""The training engine: plain PyTorch; no competition, no file layout, no tracking."""
