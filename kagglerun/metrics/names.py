"""Kaggle's names for our metrics.

They are the display names and abbreviations of Kaggle's API and of Meta Kaggle. A name stands here only when it
says everything: names that hide a parameter (K, beta, weights, groups), that say "weighted", "balanced",
"modified" or "custom", or whose definition differs from ours are left out, so that the user is asked.

Left out on purpose, though near: "Mean Squared Log Error" (with or without the root), "Multiclass Loss
(Deprecated)", "R-squared" (of a fit), "Absolute Error" (a sum), "Mean Consequential Error" (maximised in spite of
its name), "F_{Beta}" and its kin.
"""

from __future__ import annotations

from collections.abc import Mapping

KAGGLE_NAMES: Mapping[str, tuple[str, ...]] = {
    "accuracy": ("Categorization Accuracy", "CategorizationAccuracy"),
    "auc": (
        "Area Under Receiver Operating Characteristic Curve",
        "AUC",
        "sklearn_roc_auc_score",
    ),
    "columnwise_auc": ("Mean Columnwise Area Under Receiver Operating Characteristic Curve", "MCAUC"),
    "columnwise_log_loss": ("Mean Columnwise Log Loss", "MeanColumnwiseLogLoss"),
    "columnwise_mae": ("Mean Columnwise Mean Absolute Error", "MeanColumnwiseMAE"),
    "columnwise_rmse": ("Mean Columnwise Root Mean Squared Error", "MCRMSE"),
    "columnwise_rmsle": ("Mean Columnwise Root Mean Squared Logarithmic Error", "MCRMSLE"),
    "f1": ("F-Score", "FScore_1", "F-Score (deprecated)", "FScore_1 (deprecated)"),
    "f1_macro": ("F-Score (Macro)", "FScoreMacro", "Macro F-Score", "MacroFScore"),
    "f1_micro": ("F-Score (Micro)", "FScoreMicro", "Mean F-Score", "MeanFScore"),
    "log_loss": ("Log Loss", "LogLoss", "Multiclass Loss", "MulticlassLoss"),
    "mae": ("Mean Absolute Error", "MAE"),
    "mcc": ("Matthews correlation coefficient", "MatthewsCorrelationCoefficient"),
    "mse": ("Mean Squared Error", "MSE"),
    "qwk": ("QuadraticWeightedKappa", "Quadratic Weighted Kappa"),
    "r2": ("R^2 score (coefficient of determination)", "R2Score"),
    "rmse": ("Root Mean Squared Error", "RMSE"),
    "rmsle": ("Root Mean Squared Logarithmic Error", "RMSLE"),
}
