"""kagglerun: from a Kaggle competition's slug to a scored submission, and up the leaderboard."""

__version__ = "0.1.0"
