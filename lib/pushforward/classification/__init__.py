"""Classifiers of invertible blocks under a Lipschitz bound: what a block can express where no density is asked."""

from pushforward.classification.network import ClassifierNet
from pushforward.classification.settings import METHODS, Classifier
from pushforward.classification.training import Trained, error, features, train, train_once

__all__ = ["METHODS", "Classifier", "ClassifierNet", "Trained", "error", "features", "train", "train_once"]
