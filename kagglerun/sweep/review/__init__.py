"""A study for people: its parent run in MLflow, its pictures as PNG and as a page, its figures for the terminal."""

from kagglerun.sweep.review.parent import StudyReview, bring_mlflow_up, draw_study

__all__ = ["StudyReview", "bring_mlflow_up", "draw_study"]
