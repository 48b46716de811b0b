"""How the models that come with the project are made: `python -m training.NAME` makes each again, with its figures.

Training data comes from the project itself or inside a dependency; nothing is downloaded. `photographs` has the
pictures, and says which are held back; `weights` writes a model with what is told of it.
"""
