"""How the values of a trial are drawn: from the study's seed, the trial's number and what is known, nothing else.

tpe      tree-structured Parzen estimators (Bergstra 2011; jointly over parameters: Falkner 2018), Optuna's
gp       Gaussian process with log expected improvement (Ament 2023), Optuna's
cmaes    covariance matrix adaptation (Hansen 2016), the cmaes package's
qmc      points of a scrambled Sobol sequence (Sobol 1967, Owen 1998)
random   points of the unit cube
grid     every combination once, in an order that follows from the seed
"""
