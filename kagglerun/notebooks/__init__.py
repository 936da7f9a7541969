"""Notebooks that train on Colab or Kaggle: made at home, with all they need in them; and their sessions there."""
