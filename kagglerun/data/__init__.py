"""A competition's files as tables, targets, images and folds; and what can be understood of them."""
