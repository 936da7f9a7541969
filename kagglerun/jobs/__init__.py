"""Detached jobs: started, listed, followed, stopped and resumed by their folders."""
